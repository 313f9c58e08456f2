#include "fovea/engine/page_table.h"

#include <stdlib.h>
#include <string.h>

fv_err fv_page_table_init(fv_page_table *table, int n_pages, int n_sequences, int64_t max_tokens)
{
    *table = (fv_page_table){
        .n_pages = n_pages, .n_sequences = n_sequences, .width = fv_pages_for(max_tokens), .n_free = n_pages};
    table->free = malloc((size_t)n_pages * sizeof *table->free);
    table->n_users = calloc((size_t)n_pages, sizeof *table->n_users);
    table->pages = malloc((size_t)n_sequences * (size_t)table->width * sizeof *table->pages + 1);
    table->n_rows = calloc((size_t)n_sequences + 1, sizeof *table->n_rows);
    if (!table->free || !table->n_users || !table->pages || !table->n_rows) {
        fv_page_table_fini(table);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a table of %d pages and %d sequences", n_pages,
                       n_sequences);
    }
    for (int i = 0; i < n_pages; i++)
        table->free[i] = n_pages - 1 - i;
    return FV_OK;
}

void fv_page_table_fini(fv_page_table *table)
{
    free(table->free);
    free(table->n_users);
    free(table->pages);
    free(table->n_rows);
    *table = (fv_page_table){0};
}

static int32_t *pages_of(const fv_page_table *table, int sequence)
{
    return table->pages + (int64_t)sequence * table->width;
}

static int32_t take_page(fv_page_table *table)
{
    int32_t page = table->free[--table->n_free];
    table->n_users[page] = 1;
    return page;
}

/* The sequence's last page, if others name it too and the next token would be written there; else NULL. */
static int32_t *shared_tail(const fv_page_table *table, int sequence)
{
    int64_t n_rows = table->n_rows[sequence];
    int32_t *tail = pages_of(table, sequence) + n_rows / FV_PAGE;
    return n_rows % FV_PAGE && table->n_users[*tail] > 1 ? tail : NULL;
}

int fv_page_table_wants(const fv_page_table *table, int sequence, int64_t n)
{
    int64_t n_rows = table->n_rows[sequence];
    return fv_pages_for(n_rows + n) - fv_pages_for(n_rows) + (shared_tail(table, sequence) != NULL);
}

int fv_page_table_extend(fv_page_table *table, int sequence, int64_t n, fv_page_copy *copy)
{
    int64_t n_rows = table->n_rows[sequence];
    int32_t *tail = shared_tail(table, sequence), *pages = pages_of(table, sequence);
    int n_named = fv_pages_for(n_rows), n_wanted = fv_pages_for(n_rows + n);
    *copy = (fv_page_copy){0};
    if (fv_page_table_wants(table, sequence, n) > table->n_free)
        return 0;
    if (tail) {
        *copy = (fv_page_copy){*tail, take_page(table), (int32_t)(n_rows % FV_PAGE)};
        table->n_users[*tail]--;
        *tail = copy->to;
    }
    while (n_named < n_wanted)
        pages[n_named++] = take_page(table);
    table->n_rows[sequence] = n_rows + n;
    return 1;
}

void fv_page_table_share(fv_page_table *table, int from, int to, int64_t n)
{
    int n_shared = fv_pages_for(n);
    memcpy(pages_of(table, to), pages_of(table, from), (size_t)n_shared * sizeof *table->pages);
    for (int i = 0; i < n_shared; i++)
        table->n_users[pages_of(table, to)[i]]++;
    table->n_rows[to] = n;
}

void fv_page_table_release(fv_page_table *table, int sequence)
{
    const int32_t *pages = pages_of(table, sequence);
    for (int i = fv_pages_for(table->n_rows[sequence]); i-- > 0;)
        if (--table->n_users[pages[i]] == 0)
            table->free[table->n_free++] = pages[i];
    table->n_rows[sequence] = 0;
}

int32_t fv_page_table_row(const fv_page_table *table, int sequence, int64_t position)
{
    return pages_of(table, sequence)[position / FV_PAGE] * FV_PAGE + (int32_t)(position % FV_PAGE);
}

int64_t fv_page_table_spans(const fv_page_table *table, int sequence, int32_t *spans)
{
    const int32_t *pages = pages_of(table, sequence);
    int64_t n = 0, n_rows = table->n_rows[sequence];
    for (int64_t first = 0; first < n_rows; first += FV_PAGE, n++) {
        int64_t left = n_rows - first;
        spans[2 * n] = pages[n] * FV_PAGE;
        spans[2 * n + 1] = (int32_t)(left < FV_PAGE ? left : FV_PAGE);
    }
    return n;
}
