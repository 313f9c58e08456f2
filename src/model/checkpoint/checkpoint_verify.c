#include "checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>

/* Files side by side. Errors are recorded by thread, so the first that fails is looked at again in this one.
 */
static fv_err verify_part(const char *folder, const fv_checksums *sums, int part, int n_parts)
{
    int failed = sums->n;
#pragma omp parallel for schedule(dynamic) reduction(min : failed)
    for (int i = part; i < sums->n; i += n_parts)
        if (fv_checksum_check(folder, &sums->items[i]) != FV_OK)
            failed = i < failed ? i : failed;
    return failed == sums->n ? FV_OK : fv_checksum_check(folder, &sums->items[failed]);
}

fv_err fv_checkpoint_verify(const char *folder, int part, int n_parts)
{
    fv_checksums sums;
    FV_TRY(fv_checksums_open(folder, &sums));
    fv_err err = verify_part(folder, &sums, part, n_parts);
    fv_checksums_fini(&sums);
    return err;
}

static void hash_set(const fv_checkpoint *c, int i, fv_checkpoint_set set, char hex[FV_CHECKSUM_BYTES])
{
    const fv_shard_place *place = &c->table.places[i];
    fv_checksum_bytes(c->maps[i].data + place->offset[set], fv_shard_bytes(&place->shard, set), hex);
}

fv_err fv_checkpoint_check(const fv_checkpoint *c, fv_checkpoint_set set)
{
    char(*hex)[FV_CHECKSUM_BYTES] = calloc((size_t)c->table.n, sizeof *hex);
    FV_CHECK(hex, FV_ERR_MEMORY, "no memory for %d checksums", c->table.n);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < c->table.n; i++)
        hash_set(c, i, set, hex[i]);
    fv_err err = FV_OK;
    for (int i = 0; i < c->table.n; i++) {
        const fv_shard_place *place = &c->table.places[i];
        FV_CHECK_DONE(
            strcmp(hex[i], place->sum[set]) == 0, FV_ERR_FORMAT,
            "%s/shard_%05d.h5 is damaged: the checksum of \"%s\" is %s, and was %s when it was written",
            c->path, place->number, fv_checkpoint_set_name(set), hex[i], place->sum[set]);
    }
done:
    free(hex);
    return err;
}
