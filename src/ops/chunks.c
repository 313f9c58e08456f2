#include "fovea/ops/ops.h"

fv_chunks fv_chunks_of_rank(int of, int64_t whole, int rank, int n_ranks)
{
    int n = of / n_ranks;
    return (fv_chunks){.n = n, .first = rank * n, .of = of, .whole = whole};
}

int64_t fv_chunks_end(fv_chunks chunks, int c)
{
    return (chunks.first + c + 1) * chunks.whole / chunks.of - chunks.first * chunks.whole / chunks.of;
}
