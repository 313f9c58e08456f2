#include "run/journal_internal.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Once more, if it could not be written yet. */
static fv_err write_config(fv_journal *journal)
{
    static const char name[] = "config.yaml";
    char made[PATH_MAX], path[PATH_MAX];
    if (!journal->config.data)
        return FV_OK;
    FV_TRY(fv_file_path(made, sizeof made, journal->lease->own, name));
    FV_TRY(fv_file_path(path, sizeof path, journal->folder, name));
    fv_err err = fv_file_write(made, journal->config.data, journal->config.size);
    if (err == FV_OK)
        err = fv_lease_publish(journal->lease, name, path);
    else
        FV_TRY(fv_lease_check(journal->lease));
    if (err == FV_OK)
        fv_buffer_fini(&journal->config);
    return err == FV_ERR_IO ? FV_OK : err;
}

static fv_err open_all(fv_journal *journal, const fv_buffer *config, const fv_journal_position *position)
{
    FV_CHECK(journal->folder, FV_ERR_MEMORY, "no memory for a journal");
    FV_TRY(fv_buffer_append(&journal->config, config->data, config->size));
    FV_TRY(write_config(journal));
    if (journal->config.data)
        FV_LOG_RANK(WARN, "%s/config.yaml cannot be written yet: %s", journal->folder, fv_error_text());
    FV_TRY(fv_journal_file_open(&journal->metrics, journal->lease, journal->folder, "metrics.jsonl",
                                position->metrics));
    return fv_journal_file_open(&journal->trajectories, journal->lease, journal->folder, "trajectories.jsonl",
                                position->trajectories);
}

fv_err fv_journal_open(fv_journal *journal, const fv_lease *lease, const char *folder,
                       const fv_buffer *config, const fv_journal_position *position)
{
    *journal = (fv_journal){.lease = lease, .folder = strdup(folder), .score = (double)NAN};
    fv_err err = open_all(journal, config, position);
    if (err != FV_OK)
        fv_journal_close(journal, 0);
    return err;
}

fv_err fv_journal_close(fv_journal *journal, int is_patient)
{
    if (journal->lease)
        (void)write_config(journal);
    fv_err metrics = fv_journal_file_close(&journal->metrics, is_patient);
    fv_err trajectories = fv_journal_file_close(&journal->trajectories, is_patient);
    fv_buffer_fini(&journal->config);
    free(journal->folder);
    *journal = (fv_journal){0};
    return metrics != FV_OK ? metrics : trajectories;
}

fv_journal_position fv_journal_position_of(const fv_journal *journal)
{
    const fv_journal_file *m = &journal->metrics, *t = &journal->trajectories;
    return (fv_journal_position){m->written + m->pending.size, t->written + t->pending.size};
}

/* The figure that is watched, if it is among these. */
static void watch(fv_journal *journal, const fv_json *figures)
{
    double value;
    int is_less = journal->watched && journal->watched[0] == '-';
    const char *name = journal->watched ? journal->watched + is_less : "";
    if (fv_json_get(figures, name) && fv_json_get_real(figures, name, &value) == FV_OK)
        journal->score = is_less ? -value : value;
}

fv_err fv_journal_metrics(fv_journal *journal, int64_t step, fv_json *figures)
{
    fv_err err = fv_json_set(figures, "step", fv_json_make_integer(step));
    if (err == FV_OK)
        err = write_config(journal);
    if (err == FV_OK)
        watch(journal, figures);
    if (err != FV_OK) {
        fv_json_destroy(figures);
        return err;
    }
    return fv_journal_file_add(&journal->metrics, figures);
}

static fv_err set_turns(const fv_dialogue *dialogue, const fv_response *response, fv_json *object)
{
    fv_json *turns = fv_json_make_array();
    FV_TRY(fv_json_set(object, "turns", turns));
    for (int r = 0; r < response->n_turns; r++) {
        fv_buffer text = {0};
        fv_err err = fv_response_text(dialogue, response, r, &text);
        if (err == FV_OK)
            err = fv_json_append(turns, fv_json_make_string(text.data ? text.data : "", text.size));
        fv_buffer_fini(&text);
        FV_TRY(err);
    }
    return FV_OK;
}

static fv_err set_reward(const fv_response *response, fv_json *object)
{
    const fv_reward *r = &response->reward;
    FV_TRY(fv_json_set(object, "accuracy",
                       r->has_verdict ? fv_json_make_real(r->accuracy) : fv_json_make_null()));
    FV_TRY(fv_json_set(object, "format", fv_json_make_real(r->format)));
    FV_TRY(fv_json_set(object, "tool_penalty", fv_json_make_real(r->tool_penalty)));
    FV_TRY(fv_json_set(object, "overlong", fv_json_make_real(r->overlong)));
    FV_TRY(fv_json_set(object, "kl", fv_json_make_real(r->kl)));
    return fv_json_set(object, "advantage", fv_json_make_real(response->advantage));
}

static fv_err write_sample(int64_t step, const fv_dialogue *dialogue, const fv_group *group, fv_json *object)
{
    const fv_response *response = &group->responses[0];
    FV_TRY(fv_json_set(object, "step", fv_json_make_integer(step)));
    FV_TRY(fv_json_set(object, "row", fv_json_make_integer(group->row)));
    FV_TRY(fv_json_set(object, "called", fv_json_make_bool(response->is_called)));
    FV_TRY(fv_json_set(object, "shown", fv_json_make_integer(response->n_shown)));
    FV_TRY(set_turns(dialogue, response, object));
    return set_reward(response, object);
}

fv_err fv_journal_trajectories(fv_journal *journal, int64_t step, const fv_dialogue *dialogue,
                               const fv_batch *batch, int n)
{
    for (int g = 0; g < batch->n && g < n; g++) {
        fv_json *object = fv_json_make_object();
        fv_err err = object ? write_sample(step, dialogue, &batch->groups[g], object) : FV_OK;
        if (err != FV_OK) {
            fv_json_destroy(object);
            return err;
        }
        FV_TRY(fv_journal_file_add(&journal->trajectories, object));
    }
    return FV_OK;
}
