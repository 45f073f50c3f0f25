/*
 * limits.h: every size that a stranger controls, in one list. A buffer cannot be made without its maximum, and the
 * maxima stand here. nginx's client_max_body_size in conf/nginx is LIMIT_BODY.
 */
#ifndef LATHE_CORE_LIMITS_H
#define LATHE_CORE_LIMITS_H

#define KIB 1024u
#define MIB (1024u * 1024u)

/* the request */
#define LIMIT_BODY (16u * MIB) /* bytes of a request body */
#define LIMIT_PATH 1024u       /* bytes of a path, decoded */
#define LIMIT_QUERY 4096u      /* bytes of a query string */
#define LIMIT_QUERY_PAIRS 64u
#define LIMIT_HEADER 4096u            /* bytes of one header value that Lathe reads */
#define LIMIT_FCGI_HEAD (128u * KIB)  /* bytes of a FastCGI request before its body */
#define LIMIT_FCGI_STASH (256u * MIB) /* bytes of all requests that come in drips */
#define LIMIT_JSON_DEPTH 32u
#define LIMIT_RESPONSE (32u * MIB) /* bytes of an answer that is built whole */
#define LIMIT_RESPONSE_HEADERS (16u * KIB)
#define LIMIT_STREAM_CHUNK (256u * KIB) /* bytes of one piece of a streamed answer */

/* the work */
#define LIMIT_ITEMS 1000000u /* items of a task */
#define LIMIT_UNITS 10000u   /* units of a task: a smaller batch_size is made larger */
#define LIMIT_WORKERS 256u   /* W: processes or threads that a caller may ask for */
#define LIMIT_WIDTH 100000u  /* items in flight on one thread */
#define LIMIT_BATCH_SIZE LIMIT_ITEMS
#define LIMIT_PARAMS (64u * KIB) /* bytes of params */
#define LIMIT_ITEM_INPUT (1u * MIB)
/* Bytes of all items of a body, as lines: written anew they may be a little more than was read ("1e5", say). */
#define LIMIT_ITEMS_TEXT (4 * LIMIT_BODY)
#define LIMIT_ITEM_RESULT (1u * MIB)  /* bytes of one item's result */
#define LIMIT_LOG_TEXT (1u * KIB)     /* bytes of a line in a task's log */
#define LIMIT_RUN_LOG (64u * KIB)     /* bytes of all lines of one run of a unit */
#define LIMIT_UNIT_INPUT (64u * MIB)  /* bytes of all items of a unit */
#define LIMIT_UNIT_RESULT (64u * MIB) /* bytes of all results of a unit */
#define LIMIT_TIMEOUT_MS (7 * 24 * 3600 * 1000LL)
#define LIMIT_RETRIES 1000u        /* failures of a unit after which it is tried again */
#define LIMIT_ITEM_RETRIES 100u    /* likewise of an item inside its run */
#define LIMIT_ITEM_BACKOFF_MS 5000 /* an item's wait for its next try: it keeps its place in the run */
#define LIMIT_SNOOZE_LEAST_MS 100
#define LIMIT_SNOOZE_MS (24 * 3600 * 1000LL) /* one snooze */
#define LIMIT_SNOOZES_MS \
    (7 * 24 * 3600 * 1000LL)            /* all of a unit: so long after its task could first be run */
#define LIMIT_DELAY_S (366 * 24 * 3600) /* how far ahead a task may be planned */
#define LIMIT_NAME 64u                  /* bytes of a handler's, queue's or worker's name */
#define LIMIT_TAGS 16u
#define LIMIT_CONCURRENCY 100000  /* the largest limit that counts */
#define LIMIT_RATE 1000000        /* likewise */
#define LIMIT_REASON 200u         /* bytes of why a queue is paused */
#define LIMIT_QUEUES 1000u        /* queues that are paused or limited */
#define LIMIT_GATES 100000u       /* keys of limits that are in use at a time; as in lathe_crowded */
#define LIMIT_FRESH_GATES 1000u   /* of them that one request may bring; likewise */
#define LIMIT_GATES_SHOWN 50      /* gates that one queue's page shows */
#define LIMIT_HOLDERS_SHOWN 10    /* units of each gate that are named there */
#define LIMIT_QUEUE_LOOK 20000u   /* units of a queue or a gate that are counted to show it */
#define LIMIT_KEY 255u            /* bytes of the key of unique work, or of a limit */
#define LIMIT_NEEDS 1000u         /* tasks that a task depends on */
#define LIMIT_BATCH_NEEDS 20000u  /* that all tasks of one batch depend on, together */
#define LIMIT_CALLBACKS 100u      /* tasks that are submitted with a task, to follow it */
#define LIMIT_BATCH 10000u        /* tasks of one batch */
#define LIMIT_LIST_LOOK 20000u    /* tasks that one page of a filtered list is looked for in */
#define LIMIT_FIGURES_LOOK 50000u /* tasks that figures are made from */
#define LIMIT_LIST 1000u          /* tasks in one page of a list */
#define LIMIT_PAGE (8u * MIB)     /* bytes after which a page of a list ends */

#define LIMIT_RETRY 100u           /* tasks that one transaction runs again */
#define LIMIT_SCHEDULES 10000      /* schedules that there may be */
#define LIMIT_SCHEDULES_PAGE 200   /* of them in one page */
#define LIMIT_SCHEDULE (64u * KIB) /* bytes of the submission in a schedule */
#define LIMIT_EVERY_S (366 * 24 * 3600)

/* outgoing requests */
#define LIMIT_URL 2048u             /* bytes of a URL */
#define LIMIT_HTTP_HEAD (64u * KIB) /* bytes of the headers of an answer */
#define LIMIT_HTTP_HEADERS 64u      /* headers of a request */
#define LIMIT_HTTP_CALLS 16384      /* in progress on one thread; others wait */
#define LIMIT_HTTP_RESOLVING 256    /* of them: whose host is not known yet, a resolver's thread each */
#define LIMIT_HTTP_STREAMS 100      /* of HTTP/2: requests that are under way on one connection */
#define LIMIT_CA_FILE (8u * MIB)    /* bytes of the certificates of http.ca_file */
#define LIMIT_MEMO_RESULT \
    (256u * KIB) /* bytes of a result that is remembered; larger ones are computed anew */
#define LIMIT_MEMO_S (366 * 24 * 3600) /* for so long at most */
#define LIMIT_REDIS_KEY 1024u          /* bytes of a key, or a field */
#define LIMIT_REDIS_CALLS 16384        /* answers to come on one thread; further calls wait for their turn */
#define LIMIT_ORIGIN 300u              /* bytes of scheme://host:port; a longer one has no breaker */
#define LIMIT_ORIGINS 512u             /* servers whose failures a process counts */
#define LIMIT_HTTP_LATER_S 60          /* a server's Retry-After that an item waits for in its place */

/* commands */
#define LIMIT_COMMAND_LINE (LIMIT_ITEM_RESULT + 4u * KIB) /* bytes of a line that a program answers */
#define LIMIT_COMMAND_ASK (LIMIT_ITEM_INPUT + LIMIT_PARAMS + 4u * KIB) /* bytes of one that it is asked */
#define LIMIT_COMMAND_WORDS 64u                                        /* of its program and arguments */

/* foreign databases */
#define LIMIT_SQL_CONNECTIONS 256 /* of a process to one of them */
#define LIMIT_SQL_AHEAD 64        /* statements on their way on one connection */
#define LIMIT_SQL_VALUES 1000u    /* parameters of a statement */
#define LIMIT_SQL_ROW (4u * MIB)  /* bytes of a row before libpq is told to forget it */
#define LIMIT_SQL_CANCELS 1024    /* cancels that a server has not taken yet */

/* inside */
#define LIMIT_PLUGINS 64u              /* files of handlers.dir */
#define LIMIT_PLUGIN_FIELDS 64u        /* params of one handler of a plug-in */
#define LIMIT_PLUGIN_WORDS 64u         /* words of one of them */
#define LIMIT_PLUGIN_TEXT 400u         /* bytes of a summary */
#define LIMIT_PLUGIN_STATE (64u * KIB) /* bytes of state of an item of a plug-in */
#define LIMIT_ROWS_BATCH 1000u         /* rows of handlers that are worth a statement */
#define LIMIT_ROWS_FLOOD 2000u /* that one statement takes, where so many wait that each writer has some */
#define LIMIT_ROWS_BYTES (8u * MIB)         /* their values; a larger row goes alone */
#define LIMIT_ROWS_LAZY 10000u              /* lines of the log of outgoing calls that wait to be written */
#define LIMIT_HANDLERS 256u                 /* handlers besides those that are built in */
#define LIMIT_WRITE_BATCH 512u              /* rows and needs in one group commit; a longer list goes alone */
#define LIMIT_WRITE_QUEUE 32768u            /* rows and needs waiting for a group commit before 503 */
#define LIMIT_WRITE_QUEUE_BYTES (64u * MIB) /* their params, inputs and the like */
#define LIMIT_INPUT_CHUNK \
    (1u * MIB)                  /* bytes of inputs that come in pieces, in one row, but for a longer item */
#define LIMIT_INPUT_CHUNKS 512u /* such rows in one statement */
#define LIMIT_UPLOAD_S 900      /* how long a body may come in pieces: it is one transaction */
#define LIMIT_WAKE 4096         /* units that one look at the waiting puts to work */
#define LIMIT_FORGET 1000       /* tasks that a round of the retention deletes */
#define LIMIT_CLAIM 512u        /* units in one claim */
#define LIMIT_CLAIM_BYTES \
    (64u * MIB) /* inputs and params that one claim brings along, but for its last unit */
#define LIMIT_STATEMENT (512u * MIB) /* bytes of the parameters of one statement */
#define LIMIT_CALLS 16384u           /* HTTP calls held at once (waiting ones too) */
#define LIMIT_CONNECTIONS 16384u
#define LIMIT_FRAME (2u * MIB) /* one message between a worker and its child */
#define LIMIT_LOG_LINE (8u * KIB)
#define LIMIT_SECTIONS 1000u /* of one kind in the configuration file */

#endif
