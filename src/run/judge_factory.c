#include "fovea/run/judge_factory.h"

#include "fovea/model/hf/identity.h"
#include "fovea/reward/judge/judge_program.h"
#include "fovea/reward/judge/judge_ranks.h"
#include "fovea/reward/judge/judge_cache.h"

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

static fv_case names_as_case(void)
{
    return (fv_case){fv_slice_of("question"), fv_slice_of("answer"), fv_slice_of("truth")};
}

/* A request shows everything that a verdict follows from, but for what comes after a first reply. */
static fv_err identify_api(const fv_judge_config *c, const fv_judge_prompt *prompt, fv_buffer *out)
{
    const fv_case names = names_as_case();
    FV_TRY(fv_judge_api_request(&c->api, prompt, &names, c->api.temperature, out));
    return fv_buffer_print(out, "\n%d %g %d", (int)fv_judge_prompt_grammar(prompt), c->api.temperature_step,
                           c->api.tries);
}

static int is_replay(const fv_train_config *config)
{
    return config->reward.judge == FV_JUDGE_REPLAY;
}

static fv_err make_api(const fv_train_config *config, const fv_judge_asker *asker, parts *out)
{
    const fv_judge_config *c = &config->judge;
    fv_judge_prompt *prompt;
    fv_judge_api_settings settings = c->api;
    settings.in_flight = share_of(settings.in_flight, asker->rank, asker->n);
    FV_TRY(fv_judge_prompt_load(c->prompt, &prompt));
    fv_err err = identify_api(c, prompt, &out->identity);
    if (err != FV_OK || is_replay(config)) {
        fv_judge_prompt_destroy(prompt);
        return err;
    }
    return fv_judge_api_create(&settings, prompt, &out->model);
}

static fv_err make_program(const fv_train_config *config, const fv_judge_asker *asker, parts *out)
{
    const fv_judge_config *c = &config->judge;
    const fv_judge_program_settings settings = {.command = c->program,
                                                .in_flight =
                                                    share_of(c->api.in_flight, asker->rank, asker->n),
                                                .deadline_s = c->api.deadline_s,
                                                .tries = c->api.tries};
    FV_TRY(fv_buffer_print(&out->identity, "program %s", c->program));
    return is_replay(config) ? FV_OK : fv_judge_program_create(&settings, &out->model);
}

/* Local models. */

/* The model is what is in its folder, wherever that lies. Two back ends give it other bits. */
static fv_err identify_local(const fv_train_config *config, const fv_judge_prompt *prompt, fv_buffer *out)
{
    const fv_judge_config *c = &config->judge;
    const fv_case names = names_as_case();
    fv_slice system = fv_judge_prompt_system(prompt);
    uint64_t folder;
    FV_TRY(fv_identity_of_folder(c->api.model, &folder));
    FV_TRY(fv_buffer_print(out, "local %016llx %s %s %d %d %d\n", (unsigned long long)folder,
                           fv_backend_kind_names[config->run.backend],
                           fv_precision_names[fv_judge_precision_of(config)], (int)c->local.method,
                           c->local.method == FV_JUDGE_THINK ? c->api.reply_tokens : 0,
                           (int)fv_judge_prompt_grammar(prompt)));
    FV_TRY(fv_buffer_append(out, system.data, system.size));
    FV_TRY(fv_buffer_append(out, "", 1));
    return fv_judge_prompt_user(prompt, &names, out);
}

/* prompt is taken. */
static fv_err open_local(const fv_train_config *config, int running, fv_backend *backend,
                         fv_judge_prompt *prompt, fv_judge **out)
{
    const fv_judge_config *c = &config->judge;
    fv_judge_local_settings settings = c->local;
    settings.folder = c->api.model;
    settings.precision = fv_precision_of(fv_judge_precision_of(config));
    settings.reply_tokens = c->api.reply_tokens;
    settings.running = running;
    return fv_judge_local_create(backend, &settings, prompt, out);
}

static fv_err ask_ranks(const fv_train_config *config, const fv_judge_asker *asker, fv_judge **out)
{
    int n = config->layout.judge_ranks;
    const fv_judge_ranks_settings settings = {.mailbox = asker->mailbox,
                                              .first = asker->mailbox->comm->size - n,
                                              .n = n,
                                              .silence_s = config->judge.api.deadline_s};
    return fv_judge_ranks_create(&settings, out);
}

static fv_err make_local(const fv_train_config *config, const fv_judge_asker *asker, parts *out)
{
    const fv_judge_config *c = &config->judge;
    fv_judge_prompt *prompt;
    FV_TRY(fv_judge_prompt_load(c->prompt, &prompt));
    fv_err err = identify_local(config, prompt, &out->identity);
    if (err == FV_OK && !is_replay(config) && !asker->mailbox)
        return open_local(config, share_of(c->api.in_flight, asker->rank, asker->n), asker->backend, prompt,
                          &out->model);
    fv_judge_prompt_destroy(prompt);
    return err == FV_OK && !is_replay(config) ? ask_ranks(config, asker, &out->model) : err;
}

fv_err fv_judge_factory_create_served(const fv_train_config *config, int number, fv_backend *backend,
                                      fv_judge **out)
{
    const fv_judge_config *c = &config->judge;
    fv_judge_prompt *prompt;
    *out = NULL;
    FV_TRY(fv_judge_prompt_load(c->prompt, &prompt));
    return open_local(config, share_of(c->api.in_flight, number, config->layout.judge_ranks), backend, prompt,
                      out);
}

/* Together. */

/* Takes the model of parts. */
static fv_err make_cache(const fv_train_config *config, int asker, parts *made, fv_judge **out)
{
    const fv_judge_config *c = &config->judge;
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, c->log[0] ? "%s" : "%s/verdicts", c->log[0] ? c->log : config->run.out);
    const fv_judge_cache_settings settings = {.folder = folder,
                                              .asker = asker,
                                              .max_verdicts = c->log_verdicts,
                                              .identity = {made->identity.data, made->identity.size}};
    fv_judge *model = made->model;
    made->model = NULL;
    return fv_judge_cache_create(&settings, model, out);
}

static fv_err make_model(const fv_train_config *config, const fv_judge_asker *asker, parts *made)
{
    switch (fv_judge_of(config)) {
    case FV_JUDGE_PROGRAM:
        return make_program(config, asker, made);
    case FV_JUDGE_LOCAL:
        return make_local(config, asker, made);
    default:
        return make_api(config, asker, made);
    }
}

fv_err fv_judge_factory_create(const fv_train_config *config, const fv_judge_asker *asker, fv_judge **out)
{
    const fv_judge_config *c = &config->judge;
    const fv_verifier *verifier;
    parts made = {0};
    fv_judge *cache;
    fv_err err = FV_OK;
    *out = NULL;
    FV_TRY(fv_verifier_find(config->reward.verifier, &verifier));
    if (config->reward.judge == FV_JUDGE_VERIFIER)
        return fv_judge_verifier_create(verifier, out);
    FV_TRY_DONE(make_model(config, asker, &made));
    FV_TRY_DONE(make_cache(config, asker->rank, &made, &cache));
    FV_TRY_DONE(fv_judge_prefilter_create(c->verifier_first ? verifier : NULL, c->audit, cache, out));
done:
    fv_buffer_fini(&made.identity);
    return err;
}
