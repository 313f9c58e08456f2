/* Where the tokens of sequences lie in the key-value cache: page_table[sequence][position / FV_PAGE].
 *
 * Pages are shared and counted: a sequence that goes on from another names the pages of its beginning, and
 * who first writes into a page that others name too gets a copy of it. Host arithmetic over arrays of fixed
 * capacity: nothing is allocated between init and fini. Local. */
#ifndef FOVEA_ENGINE_PAGE_TABLE_H
#define FOVEA_ENGINE_PAGE_TABLE_H

#include "fovea/base/error.h"
#include "fovea/model/nn/pages.h"

typedef struct fv_page_table {
    int n_pages, n_sequences;
    int width;        /* pages of a sequence, at most */
    int n_free;       /* pages that nobody names */
    int32_t *free;    /* owned, (n_pages): a stack of those, the next is the last */
    int32_t *n_users; /* owned, (n_pages): sequences that name a page */
    int32_t *pages;   /* owned, (n_sequences, width) */
    int64_t *n_rows;  /* owned, (n_sequences): tokens that have their rows */
} fv_page_table;

/* Rows [0, n_rows) of a page that have to be copied to another before anything is written there; n_rows 0:
 * none. */
typedef struct fv_page_copy {
    int32_t from, to, n_rows;
} fv_page_copy;

/* For sequences of up to max_tokens; n_pages as a cache has them. */
fv_err fv_page_table_init(fv_page_table *table, int n_pages, int n_sequences, int64_t max_tokens);
void fv_page_table_fini(fv_page_table *table); /* back to {0} */

/* Free pages that n more tokens of a sequence take. */
int fv_page_table_wants(const fv_page_table *table, int sequence, int64_t n);

/* Rows for n more tokens of a sequence, which may not exceed its width. Returns 0, with nothing changed, if
 * too few pages are free. *copy: what to do before the rows are written. */
int fv_page_table_extend(fv_page_table *table, int sequence, int64_t n, fv_page_copy *copy);

/* to, which has no rows, begins with the first n rows of from. */
void fv_page_table_share(fv_page_table *table, int from, int to, int64_t n);

/* The sequence has no rows any more. */
void fv_page_table_release(fv_page_table *table, int sequence);

/* The row of the cache that holds a token of the sequence. */
int32_t fv_page_table_row(const fv_page_table *table, int sequence, int64_t position);

/* The sequence's rows as runs {first row, length}, at most width of them, for fv_attention_args; returns how
 * many. */
int64_t fv_page_table_spans(const fv_page_table *table, int sequence, int32_t *spans);

#endif
