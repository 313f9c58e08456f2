#include "fovea/model/nn/pages.h"

#include <stdlib.h>

fv_err fv_page_pool_init(fv_page_pool *pool, int n_pages)
{
    *pool = (fv_page_pool){0};
    FV_CHECK(n_pages > 0 && n_pages <= INT32_MAX / FV_PAGE, FV_ERR_ARGUMENT, "a pool of %d pages of %d rows",
             n_pages, FV_PAGE);
    pool->free = malloc((size_t)n_pages * sizeof *pool->free);
    FV_CHECK(pool->free, FV_ERR_MEMORY, "cannot allocate a pool of %d pages", n_pages);
    for (pool->n_free = 0; pool->n_free < n_pages; pool->n_free++)
        pool->free[pool->n_free] = n_pages - 1 - pool->n_free;
    pool->n_pages = n_pages;
    return FV_OK;
}

void fv_page_pool_fini(fv_page_pool *pool)
{
    free(pool->free);
    *pool = (fv_page_pool){0};
}

int fv_pages_for(int64_t n_rows)
{
    return (int)((n_rows + FV_PAGE - 1) / FV_PAGE);
}

static fv_err reserve(fv_page_list *list, int n_pages)
{
    if (n_pages <= list->capacity)
        return FV_OK;
    int capacity = n_pages < 2 * list->capacity ? 2 * list->capacity : n_pages;
    int32_t *pages = realloc(list->pages, (size_t)capacity * sizeof *pages);
    FV_CHECK(pages, FV_ERR_MEMORY, "cannot allocate a list of %d pages", capacity);
    list->pages = pages;
    list->capacity = capacity;
    return FV_OK;
}

fv_err fv_pages_extend(fv_page_pool *pool, fv_page_list *list, int64_t n, int32_t *rows)
{
    int wanted = fv_pages_for(list->n_rows + n);
    FV_CHECK(wanted - list->n_pages <= pool->n_free, FV_BUSY, "of %d pages %d are free, %d are wanted",
             pool->n_pages, pool->n_free, wanted - list->n_pages);
    FV_TRY(reserve(list, wanted));
    while (list->n_pages < wanted)
        list->pages[list->n_pages++] = pool->free[--pool->n_free];
    for (int64_t i = 0; i < n; i++)
        rows[i] = fv_pages_row(list, list->n_rows + i);
    list->n_rows += n;
    return FV_OK;
}

int32_t fv_pages_row(const fv_page_list *list, int64_t i)
{
    return list->pages[i / FV_PAGE] * FV_PAGE + (int32_t)(i % FV_PAGE);
}

int64_t fv_pages_spans(const fv_page_list *list, int32_t *spans)
{
    int64_t n = 0;
    for (int64_t first = 0; first < list->n_rows; first += FV_PAGE, n++) {
        int64_t left = list->n_rows - first;
        spans[2 * n] = list->pages[n] * FV_PAGE;
        spans[2 * n + 1] = (int32_t)(left < FV_PAGE ? left : FV_PAGE);
    }
    return n;
}

void fv_pages_release(fv_page_pool *pool, fv_page_list *list)
{
    while (list->n_pages > 0)
        pool->free[pool->n_free++] = list->pages[--list->n_pages];
    free(list->pages);
    *list = (fv_page_list){0};
}
