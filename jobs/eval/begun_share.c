/* What there is of an evaluation, on every rank. */
#include "jobs/eval/begun.h"

#include <stdlib.h>

/* rows has every row once, in their order, as kept has. */
static fv_err leave_out(const fv_rows *answered, const fv_rows *rows, fv_batch *begun, fv_rows *left)
{
    int n_under_way = 0;
    *left = (fv_rows){.kept = malloc((rows->n + 1) * sizeof *left->kept)};
    FV_CHECK(left->kept, FV_ERR_MEMORY, "no memory for a list of %llu rows", (unsigned long long)rows->n);
    for (uint64_t i = 0; i < rows->n; i++)
        if (!fv_rows_has(answered, rows->kept[i]))
            left->kept[left->n++] = rows->kept[i];
    for (int i = 0; i < begun->n; i++) {
        fv_group group = begun->groups[i];
        if (fv_rows_has(answered, (uint64_t)group.row))
            fv_group_fini(&group);
        else
            begun->groups[n_under_way++] = group;
    }
    begun->n = n_under_way;
    return FV_OK;
}

fv_err fv_begun_share(const fv_report *done, const fv_rows *rows, fv_comm *world, fv_batch *begun,
                      fv_rows *left)
{
    fv_rows answered = {.n = 0};
    fv_err err = FV_OK;
    for (size_t i = 0; i < done->n; i++)
        answered.n += i == 0 || done->records[i].row != done->records[i - 1].row;
    FV_TRY(fv_comm_broadcast(world, &answered.n, sizeof answered.n, 0));
    answered.kept = malloc((answered.n + 1) * sizeof *answered.kept);
    FV_TRY_DONE(fv_comm_agree(world, answered.kept ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "no memory for rows")));
    for (size_t i = 0, n = 0; i < done->n; i++)
        if (i == 0 || done->records[i].row != done->records[i - 1].row)
            answered.kept[n++] = done->records[i].row;
    if (answered.n > 0)
        FV_TRY_DONE(fv_comm_broadcast(world, answered.kept, answered.n * sizeof *answered.kept, 0));
    FV_TRY_DONE(fv_comm_agree(world, leave_out(&answered, rows, begun, left)));
done:
    free(answered.kept);
    return err;
}

fv_err fv_begun_log_init(fv_begun_log *log, const char *folder, fv_buffer *head, fv_comm *world)
{
    uint64_t size = head->size;
    FV_TRY(fv_comm_broadcast(world, &size, sizeof size, 0));
    FV_TRY(fv_comm_agree(world, fv_buffer_reserve(head, world->rank == 0 ? 0 : size)));
    head->size = size;
    FV_TRY(fv_comm_broadcast(world, head->data, size + 1, 0));
    *log = (fv_begun_log){.folder = folder, .rank = world->rank, .head = head->data};
    return FV_OK;
}
