/* Pages of rows: a pool of equal pages, and lists of rows that grow and end in any order without copies.
 * Host arithmetic; the rows themselves are the user's. Local. */
#ifndef FOVEA_MODEL_NN_PAGES_H
#define FOVEA_MODEL_NN_PAGES_H

#include "fovea/base/error.h"

#include <stdint.h>

enum { FV_PAGE = 64 /* rows */ };

typedef struct fv_page_pool {
    int32_t *free; /* owned: a stack, the next page is the last */
    int n_free, n_pages;
} fv_page_pool;

/* FV_ERR_ARGUMENT unless 0 < n_pages and all rows can be counted in 32 bits. */
fv_err fv_page_pool_init(fv_page_pool *pool, int n_pages);
void fv_page_pool_fini(fv_page_pool *pool); /* back to {0} */

/* Pages for n rows. */
int fv_pages_for(int64_t n_rows);

/* Rows in the order in which they were added. Starts as {0}. */
typedef struct fv_page_list {
    int32_t *pages; /* owned; page p is rows [p * FV_PAGE, (p + 1) * FV_PAGE) */
    int n_pages, capacity;
    int64_t n_rows;
} fv_page_list;

/* Add n rows and give their numbers (n). FV_BUSY (nothing changed) if the pool has too few pages. */
fv_err fv_pages_extend(fv_page_pool *pool, fv_page_list *list, int64_t n, int32_t *rows);

/* The number of row i. */
int32_t fv_pages_row(const fv_page_list *list, int64_t i);

/* The list as runs {first row, length}, at most n_pages of them, for fv_attention_args; returns how many. */
int64_t fv_pages_spans(const fv_page_list *list, int32_t *spans);

/* Give the pages back; the list is {0} again. */
void fv_pages_release(fv_page_pool *pool, fv_page_list *list);

#endif
