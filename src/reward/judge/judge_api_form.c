/* Requests, and how they change when a server does not take what is in them. */
#include "fovea/io/json.h"
#include "reward/judge/judge_api_internal.h"

#include <ctype.h>
#include <string.h>

static const char *const bound_names[] = {
    [FV_API_MAX_TOKENS] = "max_tokens", [FV_API_MAX_COMPLETION_TOKENS] = "max_completion_tokens"};

fv_api_form fv_api_form_of(const fv_judge_api_settings *settings)
{
    return (fv_api_form){.bound = settings->reply_tokens > 0 ? FV_API_MAX_TOKENS : FV_API_NO_BOUND};
}

int fv_api_form_equal(fv_api_form a, fv_api_form b)
{
    return a.has_no_temperature == b.has_no_temperature && a.bound == b.bound &&
           a.has_no_system == b.has_no_system;
}

/* Writing. */

static fv_err add_message(fv_json *messages, const char *role, fv_slice text)
{
    fv_json *message = fv_json_make_object();
    FV_TRY(fv_json_append(messages, message));
    FV_TRY(fv_json_set_text(message, "role", role));
    return fv_json_set(message, "content", fv_json_make_string(text.data ? text.data : "", text.size));
}

static fv_err add_messages(fv_api_form form, const fv_judge_prompt *prompt, const fv_case *asked,
                           fv_json *out)
{
    fv_json *messages = fv_json_make_array();
    fv_slice system = fv_judge_prompt_system(prompt);
    fv_buffer user = {0};
    fv_err err = fv_json_set(out, "messages", messages); /* takes them */
    FV_TRY_DONE(err);
    if (!form.has_no_system)
        FV_TRY_DONE(add_message(messages, "system", system));
    else if (system.size > 0)
        FV_TRY_DONE(fv_buffer_print(&user, "%.*s\n\n", (int)system.size, system.data));
    FV_TRY_DONE(fv_judge_prompt_user(prompt, asked, &user));
    FV_TRY_DONE(add_message(messages, "user", (fv_slice){user.data, user.size}));
done:
    fv_buffer_fini(&user);
    return err;
}

static fv_err add_settings(fv_api_form form, const fv_judge_api_settings *settings, double temperature,
                           fv_json *out)
{
    FV_TRY(fv_json_set_text(out, "model", settings->model));
    if (!form.has_no_temperature)
        FV_TRY(fv_json_set(out, "temperature", fv_json_make_real(temperature)));
    if (form.bound == FV_API_NO_BOUND)
        return FV_OK;
    return fv_json_set(out, bound_names[form.bound], fv_json_make_integer(settings->reply_tokens));
}

fv_err fv_api_form_write(fv_api_form form, const fv_judge_api_settings *settings,
                         const fv_judge_prompt *prompt, const fv_case *asked, double temperature,
                         fv_buffer *out)
{
    fv_json *object = fv_json_make_object();
    fv_err err = FV_OK;
    FV_TRY_DONE(add_settings(form, settings, temperature, object));
    FV_TRY_DONE(add_messages(form, prompt, asked, object));
    FV_TRY_DONE(fv_json_print(object, 0, out));
done:
    fv_json_destroy(object);
    return err;
}

fv_err fv_judge_api_request(const fv_judge_api_settings *settings, const fv_judge_prompt *prompt,
                            const fv_case *asked, double temperature, fv_buffer *out)
{
    return fv_api_form_write(fv_api_form_of(settings), settings, prompt, asked, temperature, out);
}

/* Learning. */

static int is_of_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Where a whole word first is; FV_SLICE_NONE: nowhere. */
static size_t place_of(const char *words, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = words; (at = strstr(at, name)); at += n)
        if ((at == words || !is_of_name(at[-1])) && !is_of_name(at[n]))
            return (size_t)(at - words);
    return FV_SLICE_NONE;
}

/* That something is not for this model, as services say it. */
static int says_unsupported(const char *words)
{
    static const char *const ways[] = {"unsupported",
                                       "not support",
                                       "n't support",
                                       "unrecognized",
                                       "unrecognised",
                                       "unknown",
                                       "unexpected",
                                       "extra inputs",
                                       "extra fields",
                                       "extra_forbidden",
                                       "not permitted",
                                       "not allowed",
                                       "forbidden",
                                       "disallowed",
                                       "deprecated",
                                       "not be set",
                                       "not accept",
                                       "only the",
                                       "only 1",
                                       "only one",
                                       "not available",
                                       "not compatible",
                                       "incompatible",
                                       "not a valid",
                                       "additional propert",
                                       "no longer",
                                       "instead",
                                       "not applicable",
                                       "not implemented",
                                       "not be used",
                                       "not be specified",
                                       "must be 1",
                                       "must be omitted",
                                       NULL};
    for (const char *const *way = ways; *way; way++)
        if (strstr(words, *way))
            return 1;
    return 0;
}

/* The part of a form that is named first: a refusal may go on to list what the server does take. */
typedef enum part { PART_NONE, PART_TEMPERATURE, PART_BOUND, PART_SYSTEM } part;

static part find_part(const fv_api_form *form, const char *words)
{
    size_t temperature = form->has_no_temperature ? FV_SLICE_NONE : place_of(words, "temperature");
    size_t bound = FV_SLICE_NONE, system = FV_SLICE_NONE;
    if (form->bound != FV_API_NO_BOUND)
        bound = place_of(words, bound_names[form->bound]);
    if (!form->has_no_system && (strstr(words, "role") || strstr(words, "message")))
        system = place_of(words, "system");
    if (temperature < bound && temperature < system)
        return PART_TEMPERATURE;
    if (bound < system)
        return PART_BOUND;
    return system != FV_SLICE_NONE ? PART_SYSTEM : PART_NONE;
}

int fv_api_form_learn(fv_api_form *form, const fv_api_refusal *refusal, const char **what)
{
    part refused = says_unsupported(refusal->words) ? find_part(form, refusal->words) : PART_NONE;
    switch (refused) {
    case PART_TEMPERATURE:
        form->has_no_temperature = 1;
        *what = "no temperature is sent";
        return 1;
    case PART_BOUND:
        *what = form->bound == FV_API_MAX_TOKENS ? "max_tokens is sent as max_completion_tokens"
                                                 : "no bound on the tokens of a reply is sent";
        form->bound++;
        return 1;
    case PART_SYSTEM:
        form->has_no_system = 1;
        *what = "the system's text is sent before the user's";
        return 1;
    default:
        return 0;
    }
}
