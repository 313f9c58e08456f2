/* FOVEA_AT is read anew at every point: there are few of them, none in a loop over numbers. */
#include "fovea/base/point.h"

#include "fovea/base/log.h"
#include "fovea/base/process/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ITEMS = 16 };

typedef struct item {
    char point[32];
    int visit, rank;  /* rank -1: every */
    int action;       /* of actions */
    const char *path; /* of "hold", borrowed */
} item;

static atomic_int n_visits[MAX_ITEMS]; /* of the item's point */

static const struct {
    const char *name;
    int signal; /* 0: no signal */
} actions[] = {{"stop", 0},        {"fail", 0},       {"kill", SIGKILL},
               {"crash", SIGSEGV}, {"halt", SIGSTOP}, {"hold:", 0}};

enum { STOP, FAIL, KILL, CRASH, HALT, HOLD, N_ACTIONS };

static fv_err find_action(item *it, const char *text)
{
    for (it->action = 0; it->action < N_ACTIONS; it->action++) {
        const char *name = actions[it->action].name;
        size_t n = strlen(name);
        it->path = text + n;
        if (it->action == HOLD ? strncmp(text, name, n) == 0 && text[n] : strcmp(text, name) == 0)
            return FV_OK;
    }
    return FV_FAIL(FV_ERR_ARGUMENT, "FOVEA_AT: there is no action \"%s\"", text);
}

static fv_err parse(const char *text, item *out)
{
    int at = 0, n = 0;
    *out = (item){.visit = 1, .rank = -1};
    FV_CHECK(sscanf(text, "%31[a-z]%n", out->point, &at) == 1, FV_ERR_ARGUMENT,
             "FOVEA_AT: \"%s\" begins with no name of a point", text);
    if (sscanf(text + at, ":%d%n", &out->visit, &n) == 1)
        at += n;
    if (sscanf(text + at, "@%d%n", &out->rank, &n) == 1)
        at += n;
    FV_CHECK(text[at] == '=', FV_ERR_ARGUMENT, "FOVEA_AT: \"%s\", expected POINT[:VISIT][@RANK]=ACTION",
             text);
    return find_action(out, text + at + 1);
}

static fv_err hold(const char *path)
{
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    FV_CHECK(file >= 0, FV_ERR_IO, "FOVEA_AT: cannot create %s: %s", path, strerror(errno));
    close(file);
    while (access(path, F_OK) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    return FV_OK;
}

static fv_err act(const item *it)
{
    switch (it->action) {
    case STOP:
        fv_stop_request();
        return FV_OK;
    case FAIL:
        return FV_FAIL(FV_ERR_IO, "FOVEA_AT: point \"%s\" fails", it->point);
    case HOLD:
        return hold(it->path);
    default:
        FV_CHECK(kill(getpid(), actions[it->action].signal) == 0, FV_ERR_IO,
                 "FOVEA_AT: cannot send a signal: %s", strerror(errno));
        return FV_OK;
    }
}

static fv_err visit(const char *name, const char *text, int index)
{
    item it;
    FV_TRY(parse(text, &it));
    if (strcmp(it.point, name) != 0 || (it.rank >= 0 && it.rank != fv_log_rank()))
        return FV_OK;
    return ++n_visits[index] == it.visit ? act(&it) : FV_OK;
}

fv_err fv_point(const char *name)
{
    const char *all = getenv("FOVEA_AT");
    if (!all)
        return FV_OK;
    char *copy = strdup(all), *rest = NULL;
    FV_CHECK(copy, FV_ERR_MEMORY, "cannot allocate a copy of FOVEA_AT");
    fv_err err = FV_OK;
    int index = 0;
    for (char *text = strtok_r(copy, " ", &rest); text && err == FV_OK; text = strtok_r(NULL, " ", &rest))
        err = index < MAX_ITEMS ? visit(name, text, index++)
                                : FV_FAIL(FV_ERR_ARGUMENT, "FOVEA_AT: more than %d items", MAX_ITEMS);
    free(copy);
    return err;
}
