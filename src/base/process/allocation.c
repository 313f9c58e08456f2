#include "fovea/base/process/allocation.h"

#include "fovea/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ASK_EVERY_S = 60, MAX_FIELDS = 4 };

/* Of an array's tasks one has the array's own number as its job: only ARRAY_TASK means one task and never
 * all. */
static const char question[] =
    FV_SLURM_PLAIN "exec squeue --noheader --jobs=\"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"
                   "${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}\" --format=%L 2>/dev/null";

void fv_allocation_init(fv_allocation *allocation)
{
    const char *end = getenv("SLURM_JOB_END_TIME");
    *allocation = (fv_allocation){.end = INFINITY, .asked = -INFINITY};
    if (end)
        allocation->end = fv_clock_now() + (double)(strtoll(end, NULL, 10) - (long long)time(NULL));
    else
        allocation->asks = getenv("SLURM_JOB_ID") != NULL;
}

void fv_allocation_fini(fv_allocation *allocation)
{
    fv_child_destroy(allocation->child);
    allocation->child = NULL;
}

/* One number between ':' and '-'; -1: it is none. */
static double field_of(fv_slice text, size_t *at)
{
    size_t first = *at;
    double value = 0;
    for (; *at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9'; ++*at)
        value = 10 * value + (text.data[*at] - '0');
    return *at > first ? value : -1;
}

double fv_allocation_parse(fv_slice text)
{
    double field[MAX_FIELDS] = {0}, days = 0;
    int n = 0;
    text = fv_slice_trim(text);
    for (size_t at = 0; n < MAX_FIELDS;) {
        field[n] = field_of(text, &at);
        if (field[n] < 0)
            return INFINITY;
        n++;
        if (at == text.size)
            break;
        char mark = text.data[at++];
        if (mark == '-' && n == 1 && days == 0) {
            days = field[0];
            n = 0;
        } else if (mark != ':')
            return INFINITY;
    }
    double left = days * 24;
    if (n < 2 || n > 3 || (n == 2 && days > 0))
        return INFINITY;
    left = n == 3 ? (left + field[0]) * 60 + field[1] : field[0];
    return left * 60 + field[n - 1];
}

static void hear(fv_allocation *allocation)
{
    fv_slice line;
    int is_there = 0;
    fv_child *child = allocation->child;
    if (fv_child_move(child, 0) != FV_OK || fv_child_hear(child, &line, &is_there) != FV_OK) {
        fv_allocation_fini(allocation);
        return;
    }
    if (is_there)
        allocation->end = fv_clock_now() + fv_allocation_parse(line);
    if (is_there || fv_child_is_gone(child))
        fv_allocation_fini(allocation);
}

double fv_allocation_left(fv_allocation *allocation)
{
    double now = fv_clock_now();
    if (allocation->child)
        hear(allocation);
    else if (allocation->asks && now - allocation->asked >= ASK_EVERY_S) {
        allocation->asked = now;
        if (fv_child_start(question, &allocation->child) != FV_OK)
            allocation->asks = 0;
    }
    return allocation->end - now;
}

void fv_allocation_job(char *out, size_t size)
{
    const char *job = getenv("SLURM_JOB_ID"), *array = getenv("SLURM_ARRAY_JOB_ID"),
               *task = getenv("SLURM_ARRAY_TASK_ID");
    if (job && array && task)
        snprintf(out, size, "%s_%s", array, task);
    else
        snprintf(out, size, "%s", job ? job : "");
}

void fv_allocation_describe(char *out, size_t size)
{
    char job[64];
    const char *restarts = getenv("SLURM_RESTART_COUNT");
    *out = 0;
    fv_allocation_job(job, sizeof job);
    if (job[0])
        snprintf(out, size, "job %s, start %lld", job, restarts ? strtoll(restarts, NULL, 10) + 1 : 1LL);
}
