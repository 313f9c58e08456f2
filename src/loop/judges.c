#include "fovea/judges.h"

#include "fovea/judge_program.h"
#include "fovea/judge_recall.h"

#include <limits.h>
#include <stdio.h>

/* What is built on the way to a judge; owned. */
typedef struct parts {
    fv_buffer identity;
    fv_judge *model; /* NULL: there is nobody to ask */
} parts;

static int share_of(int n, int part, int n_parts)
{
    return n / n_parts + (part < n % n_parts);
}

/* A request shows everything that a verdict follows from, but for what comes after a first reply. */
static fv_err identify_api(const fv_judge_config *c, const fv_judge_prompt *prompt, fv_buffer *out)
{
    const fv_case names = {fv_slice_of("question"), fv_slice_of("answer"), fv_slice_of("truth")};
    FV_TRY(fv_judge_api_request(&c->api, prompt, &names, c->api.temperature, out));
    return fv_buffer_print(out, "\n%d %g %d", (int)fv_judge_prompt_grammar(prompt), c->api.temperature_step,
                           c->api.tries);
}

static fv_err make_api(const fv_train_config *config, int asker, int n_askers, parts *out)
{
    const fv_judge_config *c = &config->judge;
    fv_judge_prompt *prompt;
    fv_judge_api_settings settings = c->api;
    settings.in_flight = share_of(settings.in_flight, asker, n_askers);
    FV_TRY(fv_judge_prompt_load(c->prompt, &prompt));
    fv_err err = identify_api(c, prompt, &out->identity);
    if (err != FV_OK || config->reward.judge == FV_JUDGE_REPLAY) {
        fv_judge_prompt_destroy(prompt);
        return err;
    }
    return fv_judge_api_create(&settings, prompt, &out->model);
}

static fv_err make_program(const fv_train_config *config, int asker, int n_askers, parts *out)
{
    const fv_judge_config *c = &config->judge;
    const fv_judge_program_settings settings = {.command = c->program,
                                                .in_flight = share_of(c->api.in_flight, asker, n_askers),
                                                .deadline_s = c->api.deadline_s,
                                                .tries = c->api.tries};
    FV_TRY(fv_buffer_print(&out->identity, "program %s", c->program));
    return config->reward.judge == FV_JUDGE_REPLAY ? FV_OK : fv_judge_program_create(&settings, &out->model);
}

/* Takes the model of parts. */
static fv_err make_recall(const fv_train_config *config, int asker, parts *made, fv_judge **out)
{
    const fv_judge_config *c = &config->judge;
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, c->log[0] ? "%s" : "%s/verdicts", c->log[0] ? c->log : config->run.out);
    const fv_judge_recall_settings settings = {.folder = folder,
                                               .asker = asker,
                                               .max_verdicts = c->log_verdicts,
                                               .identity = {made->identity.data, made->identity.size}};
    fv_judge *model = made->model;
    made->model = NULL;
    return fv_judge_recall_create(&settings, model, out);
}

static int is_program(const fv_train_config *config)
{
    fv_judge_choice choice = config->reward.judge;
    return choice == FV_JUDGE_PROGRAM || (choice == FV_JUDGE_REPLAY && config->judge.program[0]);
}

static fv_err make_model(const fv_train_config *config, int asker, int n_askers, parts *made)
{
    return is_program(config) ? make_program(config, asker, n_askers, made)
                              : make_api(config, asker, n_askers, made);
}

fv_err fv_judges_create(const fv_train_config *config, int asker, int n_askers, fv_judge **out)
{
    const fv_judge_config *c = &config->judge;
    const fv_rule *rule;
    parts made = {0};
    fv_judge *recall;
    fv_err err = FV_OK;
    *out = NULL;
    FV_TRY(fv_rule_find(config->reward.rule, &rule));
    if (config->reward.judge == FV_JUDGE_RULE)
        return fv_judge_rule_create(rule, out);
    FV_TRY_DONE(make_model(config, asker, n_askers, &made));
    FV_TRY_DONE(make_recall(config, asker, &made, &recall));
    FV_TRY_DONE(fv_judge_screen_create(c->rule_first ? rule : NULL, c->audit, recall, out));
done:
    fv_buffer_fini(&made.identity);
    return err;
}
