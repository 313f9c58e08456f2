/* What a model says: a completion in one piece, or in the pieces of a stream that nobody asked for. */
#include "fovea/io/json.h"
#include "reward/judge/judge_api_internal.h"

#include <string.h>
#include <strings.h>

static fv_slice text_of(const fv_json *object, const char *key)
{
    fv_slice text = {0};
    const fv_json *value = fv_json_get(object, key);
    if (value && fv_json_kind_of(value) == FV_JSON_STRING)
        (void)fv_json_to_string(value, key, &text.data, &text.size);
    return text;
}

static int is_one_of(fv_slice text, const char *const *list)
{
    for (; *list; list++)
        if (text.size >= strlen(*list) && strncasecmp(text.data, *list, strlen(*list)) == 0)
            return 1;
    return 0;
}

/* One piece. */

static fv_err add_text(fv_slice text, fv_api_completion *out)
{
    if (!text.data)
        return FV_OK;
    out->has_text = 1;
    return fv_buffer_append(&out->text, text.data, text.size);
}

/* Of parts only text counts: a model's thoughts are no reply. */
static fv_err add_part(const fv_json *part, fv_api_completion *out)
{
    static const char *const texts[] = {"text", "output_text", NULL};
    fv_slice text = {0}, type = text_of(part, "type");
    if (fv_json_kind_of(part) == FV_JSON_STRING)
        FV_TRY(fv_json_to_string(part, "content", &text.data, &text.size));
    else if (!type.data || is_one_of(type, texts))
        text = text_of(part, "text");
    out->is_refused |= text_of(part, "refusal").size > 0;
    return add_text(text, out);
}

static fv_err add_message(const fv_json *message, fv_api_completion *out)
{
    const fv_json *content = fv_json_get(message, "content");
    out->is_refused |= text_of(message, "refusal").size > 0;
    if (!content || fv_json_kind_of(content) != FV_JSON_ARRAY)
        return content ? add_part(content, out) : FV_OK;
    for (size_t i = 0; i < fv_json_size(content); i++)
        FV_TRY(add_part(fv_json_at(content, i), out));
    return FV_OK;
}

static fv_err add_choice(const fv_json *choice, fv_api_completion *out)
{
    static const char *const cut[] = {"length", "max_tokens", NULL}, *const error[] = {"error", NULL},
                             *const filter[] = {"content_filter", "safety", "refusal", NULL};
    fv_slice finish = text_of(choice, "finish_reason");
    out->is_ended |= finish.size > 0;
    if (is_one_of(finish, filter))
        out->finish = FV_API_FINISH_FILTER;
    else if (is_one_of(finish, cut))
        out->finish = FV_API_FINISH_CUT;
    else if (is_one_of(finish, error))
        out->finish = FV_API_FINISH_ERROR;
    FV_TRY(add_message(fv_json_get(choice, "message"), out));
    return add_message(fv_json_get(choice, "delta"), out);
}

/* Some gateways answer every request with status 200, and name the right one inside. */
static fv_err take_error(const fv_json *root, const fv_json *error, fv_api_completion *out)
{
    static const char *const keys[] = {"code", "status", "status_code", NULL};
    int64_t status = 0;
    for (const char *const *key = keys; *key && status == 0; key++)
        if (fv_json_get(error, *key) && fv_json_kind_of(fv_json_get(error, *key)) == FV_JSON_INTEGER)
            FV_TRY(fv_json_get_integer(error, *key, &status));
    out->error_status = status >= 400 && status < 600 ? (int)status : 400;
    out->error.size = 0;
    return fv_json_print(root, 0, &out->error);
}

static fv_err add_root(const fv_json *root, fv_api_completion *out)
{
    if (fv_json_kind_of(root) == FV_JSON_ARRAY)
        root = fv_json_at(root, 0);
    const fv_json *error = fv_json_get(root, "error"), *choice = fv_json_at(fv_json_get(root, "choices"), 0);
    if (error && fv_json_kind_of(error) != FV_JSON_NULL && !choice)
        return take_error(root, error, out);
    return add_choice(choice, out);
}

static fv_err add_json(fv_slice text, fv_api_completion *out)
{
    fv_json *root;
    FV_TRY(fv_json_parse_foreign(text.data, text.size, "reply", &root));
    fv_err err = add_root(root, out);
    fv_json_destroy(root);
    return err;
}

/* Streams: server-sent events, whose data is JSON, then "[DONE]". */

static fv_err add_event(fv_slice event, fv_api_completion *out)
{
    event = fv_slice_trim(event);
    if (event.size == 0)
        return FV_OK;
    if (!fv_slice_equal(event, fv_slice_of("[DONE]")))
        return add_json(event, out);
    out->is_ended = 1;
    return FV_OK;
}

/* An event ends at an empty line, but some servers leave that out: a line that is whole is an event. */
static fv_err add_line(fv_slice line, fv_buffer *event, fv_api_completion *out)
{
    if (event->size == 0 && add_event(line, out) == FV_OK)
        return FV_OK;
    FV_TRY(fv_buffer_append(event, line.data, line.size));
    return fv_buffer_append(event, "\n", 1);
}

static fv_err end_event(fv_buffer *event, fv_api_completion *out)
{
    fv_slice whole = {event->data, event->size};
    event->size = 0;
    return add_event(whole, out);
}

static fv_slice take_line(fv_slice *rest)
{
    size_t n = 0;
    while (n < rest->size && rest->data[n] != '\n' && rest->data[n] != '\r')
        n++;
    fv_slice line = fv_slice_cut(*rest, 0, n);
    n += n < rest->size && rest->data[n] == '\r';
    n += n < rest->size && rest->data[n] == '\n';
    *rest = fv_slice_cut(*rest, n, rest->size);
    return line;
}

static fv_err read_events(fv_slice body, fv_api_completion *out)
{
    const fv_slice name = fv_slice_of("data:");
    fv_buffer event = {0};
    fv_err err = FV_OK;
    while (body.size > 0 && err == FV_OK) {
        fv_slice line = take_line(&body);
        if (line.size == 0)
            err = end_event(&event, out);
        else if (fv_slice_starts(line, name))
            err = add_line(fv_slice_cut(line, name.size, line.size), &event, out);
    }
    if (err == FV_OK)
        err = end_event(&event, out);
    fv_buffer_fini(&event);
    return err;
}

static int is_stream(fv_slice body)
{
    static const char *const starts[] = {"data:", "event:", "id:", "retry:", ":", NULL};
    return is_one_of(body, starts);
}

fv_err fv_api_completion_read(fv_slice body, fv_api_completion *out)
{
    const fv_slice mark = {"\xEF\xBB\xBF", 3};
    *out = (fv_api_completion){0};
    if (fv_slice_starts(body, mark))
        body = fv_slice_cut(body, mark.size, body.size);
    body = fv_slice_trim(body);
    if (is_stream(body))
        return read_events(body, out);
    out->is_ended = 1; /* it has a length of its own */
    return add_json(body, out);
}

void fv_api_completion_fini(fv_api_completion *completion)
{
    fv_buffer_fini(&completion->text);
    fv_buffer_fini(&completion->error);
}
