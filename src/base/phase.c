#include "fovea/base/phase.h"

#include <stdatomic.h>
#include <stddef.h>

static _Atomic(const char *) phase_name = "start";
static _Atomic(const char *) phase_inside;
static _Atomic(const char *) phase_operation;
static atomic_uint_fast64_t n_moves;

void fv_phase_set(const char *name)
{
    if (atomic_exchange_explicit(&phase_name, name, memory_order_relaxed) != name)
        fv_phase_move();
}

void fv_phase_enter(const char *collective)
{
    atomic_store_explicit(&phase_inside, collective, memory_order_relaxed);
    fv_phase_move();
}

void fv_phase_leave(void)
{
    atomic_store_explicit(&phase_inside, NULL, memory_order_relaxed);
    fv_phase_move();
}

void fv_phase_move(void)
{
    atomic_fetch_add_explicit(&n_moves, 1, memory_order_relaxed);
}

void fv_phase_operation(const char *name)
{
    atomic_store_explicit(&phase_operation, name, memory_order_relaxed);
    fv_phase_move();
}

fv_phase fv_phase_get(void)
{
    return (fv_phase){atomic_load_explicit(&phase_name, memory_order_relaxed),
                      atomic_load_explicit(&phase_inside, memory_order_relaxed),
                      atomic_load_explicit(&phase_operation, memory_order_relaxed),
                      atomic_load_explicit(&n_moves, memory_order_relaxed)};
}
