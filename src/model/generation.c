/* generation_config.json: how a model is meant to be sampled. */
#include "fovea/base/log.h"
#include "model/shape/shape_fields.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const fv_generation_defaults fv_generation_usual = {
    .temperature = 1, .top_k = 50, .top_p = 1, .repetition_penalty = 1};

/* Keys that change what the reference answers, and the numbers that make them do nothing. */
static const struct {
    const char *key;
    double neutral;
} unsupported[] = {{"num_beams", 1},
                   {"min_p", 0},
                   {"top_h", 0},
                   {"typical_p", 1},
                   {"epsilon_cutoff", 0},
                   {"eta_cutoff", 0},
                   {"penalty_alpha", 0},
                   {"guidance_scale", 1},
                   {"encoder_repetition_penalty", 1},
                   {"no_repeat_ngram_size", 0},
                   {"encoder_no_repeat_ngram_size", 0},
                   {"min_length", 0},
                   {"min_new_tokens", 0},
                   {"max_time", 0},
                   {"bad_words_ids", 0},
                   {"force_words_ids", 0},
                   {"constraints", 0},
                   {"forced_bos_token_id", -1},
                   {"forced_eos_token_id", -1},
                   {"suppress_tokens", 0},
                   {"begin_suppress_tokens", 0},
                   {"sequence_bias", 0},
                   {"exponential_decay_length_penalty", 0},
                   {"stop_strings", 0},
                   {"watermarking_config", 0},
                   {"dola_layers", 0}};

/* Null, the neutral number, and empty lists do nothing. */
static int has_effect(const fv_json *value, double neutral)
{
    double number = 0;
    switch (fv_json_kind_of(value)) {
    case FV_JSON_NULL:
        return 0;
    case FV_JSON_INTEGER:
    case FV_JSON_REAL:
        return fv_json_to_real(value, "", &number) == FV_OK && number != neutral;
    case FV_JSON_ARRAY:
    case FV_JSON_OBJECT:
        return fv_json_size(value) > 0;
    default:
        return 1;
    }
}

static void name_unsupported(const fv_json *root, fv_generation_defaults *out)
{
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++) {
        size_t used = strlen(out->passed_over), left = sizeof out->passed_over - used;
        const fv_json *value = fv_json_get(root, unsupported[i].key);
        if (value && has_effect(value, unsupported[i].neutral))
            snprintf(out->passed_over + used, left, "%s%s", used ? ", " : "", unsupported[i].key);
    }
}

fv_err fv_generation_read(const fv_json *root, fv_generation_defaults *out)
{
    double temperature = out->temperature, top_p = out->top_p, penalty = out->repetition_penalty;
    int64_t top_k = out->top_k, max_new = 0;
    FV_TRY(fv_json_get_bool(root, "do_sample", &out->do_sample));
    FV_TRY(fv_json_get_real(root, "temperature", &temperature));
    FV_TRY(fv_json_get_integer(root, "top_k", &top_k));
    FV_TRY(fv_json_get_real(root, "top_p", &top_p));
    FV_TRY(fv_json_get_real(root, "repetition_penalty", &penalty));
    FV_TRY(fv_json_get_integer(root, "max_new_tokens", &max_new));
    FV_CHECK(temperature >= 0 && top_p > 0 && top_p <= 1 && penalty > 0 && top_k >= 0 && top_k <= INT_MAX,
             FV_ERR_FORMAT,
             "temperature %g, top_p %g, top_k %lld, repetition_penalty %g, expected at least 0, above 0 and "
             "at most 1, at least 0, above 0",
             temperature, top_p, (long long)top_k, penalty);
    FV_CHECK(max_new >= 0 && max_new <= INT_MAX, FV_ERR_FORMAT,
             "\"max_new_tokens\" is %lld, expected a positive number", (long long)max_new);
    out->temperature = (float)temperature;
    out->top_p = (float)top_p;
    out->top_k = (int)top_k;
    out->repetition_penalty = (float)penalty;
    out->max_new_tokens = (int)max_new;
    name_unsupported(root, out);
    return FV_OK;
}

void fv_generation_warn(const fv_generation_defaults *defaults, const char *folder)
{
    if (defaults->passed_over[0])
        FV_LOG_ROOT(WARN, "%s/generation_config.json: passed over, as not supported: %s", folder,
                    defaults->passed_over);
}
