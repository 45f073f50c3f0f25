-- Inputs that came in pieces (src/store/upload.c) are cut by their bytes, before anybody knows how many items there will be: inputs.seq
-- is then the first item of the chunk, and not its number.
ALTER TABLE tasks ADD COLUMN uploaded boolean NOT NULL DEFAULT false;
