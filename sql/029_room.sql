-- A task's row is 225 bytes when it is put and 353 at its end, with no params and a small result. With 45 percent a fifth of the ends found
-- no room beside it, went to another page and into the index; the table became larger for that, and the WAL of a task by 40 bytes.
ALTER TABLE tasks SET (fillfactor = 38);
