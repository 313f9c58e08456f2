/* Checks of the arguments of statistics over the vocabulary and of sampling. */
#include "args_check.h"

fv_err fv_check_vocab_stats_args(const fv_vocab_stats_args *args, int *empty)
{
    EXPECT(vocab_stats, logits, F32, FV_DIM_ANY, FV_DIM_ANY);
    int64_t rows = args->logits.dim[0];
    int64_t chunks = (args->logits.dim[1] + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK;
    EXPECT(vocab_stats, inv_temperature, F32, rows);
    EXPECT_IF(vocab_stats, targets, I32, rows);
    EXPECT_IF(vocab_stats, excluded, I32, FV_DIM_ANY);
    EXPECT(vocab_stats, parts, F32, FV_DIM_ANY, rows, FV_VOCAB_FIELDS);
    FV_CHECK(args->parts.dim[0] >= chunks, FV_ERR_SHAPE,
             "vocab_stats: tensor parts has %lld parts, expected a part for each of %lld chunks",
             (long long)args->parts.dim[0], (long long)chunks);
    *empty = fv_tensor_count(args->parts) == 0;
    return FV_OK;
}

fv_err fv_check_vocab_merge_args(const fv_vocab_merge_args *args, int *empty)
{
    EXPECT(vocab_merge, parts, F32, FV_DIM_SOME, FV_DIM_ANY, FV_VOCAB_FIELDS);
    int64_t rows = args->parts.dim[1];
    EXPECT_IF(vocab_merge, target, F32, rows);
    EXPECT_IF(vocab_merge, logprob, F32, rows);
    EXPECT_IF(vocab_merge, lse, F32, rows);
    EXPECT_IF(vocab_merge, entropy, F32, rows);
    *empty = rows == 0;
    return FV_OK;
}

fv_err fv_check_vocab_grad_args(const fv_vocab_grad_args *args, int *empty)
{
    EXPECT(vocab_grad, logits, F32, FV_DIM_ANY, FV_DIM_ANY);
    int64_t rows = args->logits.dim[0];
    EXPECT(vocab_grad, inv_temperature, F32, rows);
    EXPECT(vocab_grad, targets, I32, rows);
    EXPECT_IF(vocab_grad, excluded, I32, FV_DIM_ANY);
    EXPECT(vocab_grad, lse, F32, rows);
    EXPECT(vocab_grad, dlogprob, F32, rows);
    EXPECT_TOGETHER(vocab_grad, entropy, dentropy);
    EXPECT_IF(vocab_grad, entropy, F32, rows);
    EXPECT_IF(vocab_grad, dentropy, F32, rows);
    EXPECT(vocab_grad, dlogits, STORED, rows, args->logits.dim[1]);
    *empty = fv_tensor_count(args->logits) == 0;
    return FV_OK;
}

fv_err fv_check_vocab_filter_args(const fv_vocab_filter_args *args, int *empty)
{
    EXPECT(vocab_filter, logits, F32, FV_DIM_ANY, FV_DIM_SOME);
    int64_t rows = args->logits.dim[0];
    EXPECT(vocab_filter, inv_temperature, F32, rows);
    EXPECT(vocab_filter, top_k, I32, rows);
    EXPECT(vocab_filter, top_p, F32, rows);
    EXPECT_IF(vocab_filter, excluded, I32, FV_DIM_ANY);
    *empty = rows == 0;
    return FV_OK;
}

fv_err fv_check_sample_args(const fv_sample_args *args, int *empty)
{
    EXPECT(sample, logits, F32, FV_DIM_ANY, FV_DIM_ANY);
    int64_t rows = args->logits.dim[0];
    EXPECT(sample, inv_temperature, F32, rows);
    EXPECT(sample, draws, I32, rows, FV_DRAW_FIELDS);
    EXPECT_IF(sample, excluded, I32, FV_DIM_ANY);
    EXPECT(sample, value, F32, rows);
    EXPECT(sample, z, F32, rows);
    EXPECT(sample, ids, I32, rows);
    *empty = rows == 0;
    return FV_OK;
}
