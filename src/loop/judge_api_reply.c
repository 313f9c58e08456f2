/* From a response of the server to what it means. */
#include "fovea/json.h"
#include "loop/judge_api_internal.h"

#include <string.h>
#include <strings.h>

static fv_api_reading none(fv_api_act act, fv_unjudged why)
{
    return (fv_api_reading){.act = act, .verdict = fv_verdict_none(why)};
}

static fv_slice text_of(const fv_json *object, const char *key)
{
    fv_slice text = {0};
    const fv_json *value = fv_json_get(object, key);
    if (value && fv_json_kind_of(value) == FV_JSON_STRING)
        (void)fv_json_to_string(value, key, &text.data, &text.size);
    return text;
}

/* choices[0] of a completion. */
static fv_api_reading read_choice(const fv_json *choice, fv_grammar grammar)
{
    const fv_json *message = fv_json_get(choice, "message");
    fv_slice finish = text_of(choice, "finish_reason"), content = text_of(message, "content");
    if (fv_slice_equal(finish, fv_slice_of("content_filter")) || text_of(message, "refusal").size > 0)
        return none(FV_API_AGAIN, FV_UNJUDGED_REFUSED);
    if (fv_slice_equal(finish, fv_slice_of("length")))
        return none(FV_API_AGAIN, FV_UNJUDGED_CUT);
    if (!content.data)
        return none(FV_API_AGAIN, FV_UNJUDGED_GARBLED);
    const fv_verdict verdict = fv_verdict_parse(grammar, content);
    return (fv_api_reading){.act = verdict.has_verdict ? FV_API_DONE : FV_API_AGAIN, .verdict = verdict};
}

static fv_api_reading read_completion(const fv_http_response *response, fv_grammar grammar)
{
    static const char type[] = "application/json";
    fv_json *root;
    if (strncasecmp(response->content_type, type, strlen(type)) != 0 ||
        fv_json_parse(response->body.data, response->body.size, "reply", &root) != FV_OK)
        return none(FV_API_AGAIN, FV_UNJUDGED_GARBLED);
    fv_api_reading reading = read_choice(fv_json_at(fv_json_get(root, "choices"), 0), grammar);
    fv_json_destroy(root);
    return reading;
}

/* The server did not take this request. Azure's filter says so with a status of its own. */
static fv_api_reading read_rejection(const fv_http_response *response)
{
    int is_filter = fv_slice_find(response->body, fv_slice_of("content_filter")) != FV_SLICE_NONE;
    return none(FV_API_DONE, is_filter ? FV_UNJUDGED_REFUSED : FV_UNJUDGED_REJECTED);
}

/* Of a server that has answered nothing yet these mean that it is the wrong one, or that we may not ask it.
 */
static fv_err check_address(const fv_api_reader *reader, int status)
{
    FV_CHECK(status < 300 || status >= 400, FV_ERR_ARGUMENT,
             "the judge at %s redirects (status %d); its address is another one", reader->url, status);
    FV_CHECK(status != 403, FV_ERR_ARGUMENT, "the judge at %s does not let us in (status 403)", reader->url);
    FV_CHECK(status != 404 && status != 405, FV_ERR_ARGUMENT,
             "there is no such judge at %s (status %d): check judge.url and judge.model", reader->url,
             status);
    return FV_OK;
}

static fv_err read_status(const fv_api_reader *reader, const fv_http_response *response, fv_api_reading *out)
{
    int status = response->status;
    FV_CHECK(status != 401, FV_ERR_ARGUMENT,
             "the judge at %s does not accept the key (status 401; no key is sent over plain http)",
             reader->url);
    if (!reader->is_known)
        FV_TRY(check_address(reader, status));
    if (status >= 200 && status < 300)
        *out = read_completion(response, reader->grammar);
    else if (status == 429)
        *out = none(FV_API_LATER, FV_UNJUDGED_BUSY);
    else if (status == 408)
        *out = none(FV_API_LATER, FV_UNJUDGED_LATE);
    else
        *out = status >= 500 ? none(FV_API_LATER, FV_UNJUDGED_UNREACHABLE) : read_rejection(response);
    out->is_reply = status < 502 || status > 504; /* those are said by what stands before a server */
    out->pause_s = response->retry_after_s;
    return FV_OK;
}

fv_err fv_api_read(const fv_api_reader *reader, const fv_http_response *response, fv_api_reading *out)
{
    switch (response->outcome) {
    case FV_HTTP_ANSWERED:
        return read_status(reader, response, out);
    case FV_HTTP_UNTRUSTED:
        return FV_FAIL(FV_ERR_ARGUMENT, "the judge at %s cannot be trusted: %s", reader->url,
                       response->problem);
    case FV_HTTP_TOO_LONG:
        *out = none(FV_API_AGAIN, FV_UNJUDGED_GARBLED);
        return FV_OK;
    case FV_HTTP_LATE:
        *out = none(FV_API_LATER, FV_UNJUDGED_LATE);
        return FV_OK;
    default:
        *out = none(FV_API_LATER, FV_UNJUDGED_UNREACHABLE);
        return FV_OK;
    }
}
