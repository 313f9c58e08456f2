#include "model/model.h"

static fv_block_acts *acts_of(fv_stack *stack, int i)
{
    return &stack->acts[i < stack->n_kept ? i : stack->n_kept];
}

fv_err fv_stack_take(fv_stack *stack, const fv_block_shape *shape, const fv_stack_size *size, fv_arena *arena)
{
    int n_blocks = stack->n_blocks = size->n_blocks;
    int64_t n_tokens = size->n_tokens, dims[] = {n_tokens, shape->hidden};
    fv_save save = stack->save = size->save;
    int kept = save == FV_SAVE_NONE ? 0 : save - FV_SAVE_INPUTS;
    stack->n_kept = kept < n_blocks ? kept : n_blocks;
    stack->part = (fv_tensor){0};
    if (size->n_ranks > 1 && shape->dtype != FV_F32)
        FV_TRY(fv_tensor_take(arena, FV_F32, 2, dims, &stack->part));
    for (int i = 0; i <= n_blocks; i++) {
        if (i > 0 && save == FV_SAVE_NONE)
            stack->x[i] = stack->x[0];
        else
            FV_TRY(fv_tensor_take(arena, shape->dtype, 2, dims, &stack->x[i]));
    }
    for (int i = 0; i <= stack->n_kept && i < n_blocks; i++)
        FV_TRY(fv_block_acts_take(arena, shape, n_tokens, &stack->acts[i]));
    return save == FV_SAVE_NONE ? FV_OK : fv_block_grads_take(arena, shape, n_tokens, &stack->grads);
}

static fv_block_setup set_up(const fv_stack *stack, fv_stack_run *run, int i)
{
    fv_block_setup setup = run->setup(run->context, i);
    run->pass.lists = setup.lists;
    run->pass.part = stack->part;
    return setup;
}

fv_err fv_stack_forward(fv_stack *stack, fv_stack_run *run)
{
    for (int i = 0; i < stack->n_blocks; i++) {
        fv_block_setup setup = set_up(stack, run, i);
        fv_block_io io = {
            .x = stack->x[i], .out = stack->x[i + 1], .keys = setup.keys, .values = setup.values};
        if (i > 0)
            io.mid = acts_of(stack, i - 1)->mid;
        FV_TRY(fv_block_forward(&run->pass, &run->weights[i], &io, acts_of(stack, i)));
    }
    return FV_OK;
}

fv_tensor fv_stack_mid(fv_stack *stack)
{
    return acts_of(stack, stack->n_blocks - 1)->mid;
}

/* The last block has left its activations. */
static int has_lost_acts(const fv_stack *stack, int i)
{
    return i >= stack->n_kept && i < stack->n_blocks - 1;
}

/* All but what the block's MLP adds, which nothing reads. */
static fv_err again(fv_stack *stack, fv_stack_run *run, int i)
{
    fv_block_io io = {.x = stack->x[i]};
    return fv_block_forward(&run->pass, &run->weights[i], &io, acts_of(stack, i));
}

fv_err fv_stack_backward(fv_stack *stack, fv_stack_run *run, fv_tensor dx, const fv_block_weights *grads)
{
    for (int i = stack->n_blocks - 1; i >= 0; i--) {
        set_up(stack, run, i);
        if (has_lost_acts(stack, i))
            FV_TRY(again(stack, run, i));
        FV_TRY(fv_block_backward(&run->pass, &run->weights[i], acts_of(stack, i), stack->x[i], dx,
                                 &stack->grads, &grads[i]));
    }
    return FV_OK;
}
