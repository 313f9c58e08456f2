#include "fovea/journal.h"

#include "fovea/file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static fv_err open_lines(const char *folder, const char *name, FILE **out)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    *out = fopen(path, "we");
    FV_CHECK(*out, FV_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    return FV_OK;
}

static fv_err open_all(fv_journal *journal, const char *folder, const fv_buffer *config)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_make_folder(folder));
    FV_TRY(fv_file_path(path, sizeof path, folder, "metrics.jsonl"));
    FV_CHECK(!fv_file_exists(path), FV_ERR_ARGUMENT,
             "%s holds a run already: give another folder, or remove it", folder);
    FV_TRY(fv_file_path(path, sizeof path, folder, "config.yaml"));
    FV_TRY(fv_file_write(path, config->data, config->size));
    FV_TRY(open_lines(folder, "metrics.jsonl", &journal->metrics));
    return open_lines(folder, "trajectories.jsonl", &journal->trajectories);
}

fv_err fv_journal_open(fv_journal *journal, const char *folder, const fv_buffer *config)
{
    *journal = (fv_journal){0};
    fv_err err = open_all(journal, folder, config);
    if (err != FV_OK)
        fv_journal_close(journal);
    return err;
}

fv_err fv_journal_close(fv_journal *journal)
{
    int failed = 0;
    if (journal->metrics)
        failed |= fclose(journal->metrics);
    if (journal->trajectories)
        failed |= fclose(journal->trajectories);
    *journal = (fv_journal){0};
    FV_CHECK(!failed, FV_ERR_IO, "cannot finish the journal of the run: %s", strerror(errno));
    return FV_OK;
}

/* Write object as a line; it is taken. */
static fv_err write_line(FILE *file, fv_json *object)
{
    fv_buffer line = {0};
    fv_err err = object ? fv_json_print(object, 0, &line) : FV_FAIL(FV_ERR_MEMORY, "no memory for a line");
    if (err == FV_OK)
        err = fv_buffer_append(&line, "\n", 1);
    if (err == FV_OK && (fwrite(line.data, 1, line.size, file) != line.size || fflush(file) != 0))
        err = FV_FAIL(FV_ERR_IO, "cannot write to the journal of the run: %s", strerror(errno));
    fv_buffer_fini(&line);
    fv_json_destroy(object);
    return err;
}

fv_err fv_journal_metrics(fv_journal *journal, int64_t step, fv_json *figures)
{
    fv_err err = fv_json_set(figures, "step", fv_json_make_integer(step));
    if (err != FV_OK) {
        fv_json_destroy(figures);
        return err;
    }
    return write_line(journal->metrics, figures);
}

static fv_err set_turns(const fv_dialogue *dialogue, const fv_answer *answer, fv_json *object)
{
    fv_json *turns = fv_json_make_array();
    FV_TRY(fv_json_set(object, "turns", turns));
    for (int r = 0; r < answer->n_rounds; r++) {
        fv_buffer text = {0};
        fv_err err = fv_answer_text(dialogue, answer, r, &text);
        if (err == FV_OK)
            err = fv_json_append(turns, fv_json_make_string(text.data ? text.data : "", text.size));
        fv_buffer_fini(&text);
        FV_TRY(err);
    }
    return FV_OK;
}

static fv_err set_reward(const fv_answer *answer, fv_json *object)
{
    const fv_reward *r = &answer->reward;
    FV_TRY(fv_json_set(object, "accuracy",
                       r->has_verdict ? fv_json_make_real(r->accuracy) : fv_json_make_null()));
    FV_TRY(fv_json_set(object, "format", fv_json_make_real(r->format)));
    FV_TRY(fv_json_set(object, "control", fv_json_make_real(r->control)));
    FV_TRY(fv_json_set(object, "overlong", fv_json_make_real(r->overlong)));
    FV_TRY(fv_json_set(object, "kl", fv_json_make_real(r->kl)));
    return fv_json_set(object, "advantage", fv_json_make_real(answer->advantage));
}

static fv_err fill(int64_t step, const fv_dialogue *dialogue, const fv_group *group, fv_json *object)
{
    const fv_answer *answer = &group->answers[0];
    FV_TRY(fv_json_set(object, "step", fv_json_make_integer(step)));
    FV_TRY(fv_json_set(object, "row", fv_json_make_integer(group->row)));
    FV_TRY(fv_json_set(object, "called", fv_json_make_bool(answer->is_called)));
    FV_TRY(fv_json_set(object, "shown", fv_json_make_integer(answer->n_shown)));
    FV_TRY(set_turns(dialogue, answer, object));
    return set_reward(answer, object);
}

fv_err fv_journal_trajectories(fv_journal *journal, int64_t step, const fv_dialogue *dialogue,
                               const fv_batch *batch, int n)
{
    for (int g = 0; g < batch->n && g < n; g++) {
        fv_json *object = fv_json_make_object();
        fv_err err = object ? fill(step, dialogue, &batch->groups[g], object) : FV_OK;
        if (err != FV_OK) {
            fv_json_destroy(object);
            return err;
        }
        FV_TRY(write_line(journal->trajectories, object));
    }
    return FV_OK;
}
