/* From a response of the server to what it means. */
#include "reward/judge/judge_api_internal.h"

#include <string.h>

static fv_api_reading none(fv_api_act act, fv_unjudged why)
{
    return (fv_api_reading){.act = act, .verdict = fv_verdict_none(why)};
}

/* Completions. */

static fv_api_reading read_completion(const fv_api_completion *said, fv_grammar grammar)
{
    if (said->finish == FV_API_FINISH_FILTER || said->is_refused)
        return none(FV_API_AGAIN, FV_UNJUDGED_REFUSED);
    if (said->finish == FV_API_FINISH_CUT || (said->has_text && !said->is_ended))
        return none(FV_API_AGAIN, FV_UNJUDGED_CUT);
    if (!said->has_text || said->finish == FV_API_FINISH_ERROR)
        return none(FV_API_AGAIN, FV_UNJUDGED_GARBLED);
    const fv_verdict verdict = fv_verdict_parse(grammar, (fv_slice){said->text.data, said->text.size});
    return (fv_api_reading){.act = verdict.has_verdict ? FV_API_DONE : FV_API_AGAIN, .verdict = verdict};
}

/* Refusals. */

/* Of any server these hold for every case. */
static fv_err check_right(const fv_api_reader *reader, const fv_api_refusal *r)
{
    const char *url = reader->access->url.data, *colon = r->sentence[0] ? ": " : "";
    FV_CHECK(r->status != 401 || reader->access->has_key, FV_ERR_ARGUMENT,
             "the judge at %s wants a key (status 401), and none was sent: set one, and, over plain http to "
             "another machine, judge.key_over_http%s%s",
             url, colon, r->sentence);
    FV_CHECK(r->status != 401, FV_ERR_ARGUMENT, "the judge at %s does not accept the key (status 401)%s%s",
             url, colon, r->sentence);
    FV_CHECK(r->status != 402 && !fv_api_refusal_is_of_quota(r), FV_ERR_ARGUMENT,
             "the judge at %s has no quota or money left for us (status %d)%s%s", url, r->status, colon,
             r->sentence);
    return FV_OK;
}

/* Of a server that has answered nothing yet these mean that it is the wrong one, or that we may not ask it.
 */
static fv_err check_address(const fv_api_reader *reader, const fv_api_refusal *r)
{
    const char *url = reader->access->url.data, *colon = r->sentence[0] ? ": " : "";
    int status = r->status;
    FV_CHECK(!fv_api_refusal_is_of_key(r), FV_ERR_ARGUMENT,
             "the judge at %s does not accept the key (status %d)%s%s", url, status, colon, r->sentence);
    FV_CHECK(!fv_api_refusal_is_of_model(r), FV_ERR_ARGUMENT,
             "the judge at %s has no model \"%s\", there is no such judge (status %d): check judge.model%s%s",
             url, reader->settings->model, status, colon, r->sentence);
    FV_CHECK(status != 403, FV_ERR_ARGUMENT, "the judge at %s does not let us in (status 403)%s%s", url,
             colon, r->sentence);
    FV_CHECK(status != 404 && status != 405 && status != 410, FV_ERR_ARGUMENT,
             "there is no such judge at %s (status %d): check judge.url and judge.model%s%s", url, status,
             colon, r->sentence);
    FV_CHECK(status != 422, FV_ERR_ARGUMENT, "the judge at %s does not take our requests (status 422)%s%s",
             url, colon, r->sentence);
    return FV_OK;
}

/* Errors of the moment: asked again they may be gone. */
static int passes(int status)
{
    return status == 429 || status == 408 || status == 409 || status == 425;
}

static fv_unjudged why_of(int status)
{
    return status == 429 ? FV_UNJUDGED_BUSY : status == 408 ? FV_UNJUDGED_LATE : FV_UNJUDGED_UNREACHABLE;
}

/* A gateway may give any status to what it was told: the words come first. */
static fv_api_reading classify(fv_api_form *form, const fv_api_refusal *refusal, const char **learnt)
{
    if (passes(refusal->status))
        return none(FV_API_LATER, why_of(refusal->status));
    if (fv_api_refusal_is_of_filter(refusal))
        return none(FV_API_DONE, FV_UNJUDGED_REFUSED);
    if (fv_api_form_learn(form, refusal, learnt))
        return none(FV_API_REFORM, FV_UNJUDGED_REJECTED);
    if (refusal->status >= 500)
        return none(FV_API_LATER, FV_UNJUDGED_UNREACHABLE);
    return none(FV_API_DONE, FV_UNJUDGED_REJECTED);
}

/* What is told once. */
static void note_refusal(const fv_api_refusal *refusal, fv_api_reading *out)
{
    size_t used = strlen(refusal->kind);
    out->refusal = *refusal;
    snprintf(out->refusal.kind + used, sizeof refusal->kind - used, " %s",
             fv_unjudged_name(out->verdict.why));
}

static fv_err read_refusal(const fv_api_reader *reader, int status, fv_slice body, fv_api_reading *out)
{
    fv_api_refusal refusal;
    fv_api_form form = reader->form;
    const char *learnt = NULL;
    fv_api_refusal_read(reader->access, status, body, &refusal);
    FV_TRY(check_right(reader, &refusal));
    *out = classify(&form, &refusal, &learnt);
    if (out->verdict.why == FV_UNJUDGED_REJECTED && out->act == FV_API_DONE && !reader->is_known)
        FV_TRY(check_address(reader, &refusal));
    out->form = form;
    out->learnt = learnt;
    note_refusal(&refusal, out);
    return FV_OK;
}

static fv_err read_success(const fv_api_reader *reader, int status, fv_slice body, fv_api_reading *out)
{
    fv_api_completion said;
    fv_api_refusal refusal;
    fv_err err = FV_OK;
    if (fv_api_completion_read(body, &said) != FV_OK)
        *out = none(FV_API_AGAIN, FV_UNJUDGED_GARBLED);
    else if (said.error_status)
        err = read_refusal(reader, said.error_status, (fv_slice){said.error.data, said.error.size}, out);
    else
        *out = read_completion(&said, reader->grammar);
    fv_unjudged why = out->verdict.why;
    if (!said.error_status && !out->verdict.has_verdict &&
        (why == FV_UNJUDGED_GARBLED || why == FV_UNJUDGED_REFUSED)) {
        fv_api_refusal_read(reader->access, status, body, &refusal);
        note_refusal(&refusal, out);
    }
    fv_api_completion_fini(&said);
    return err;
}

static fv_err read_status(const fv_api_reader *reader, const fv_http_response *response, fv_api_reading *out)
{
    int status = response->status;
    FV_CHECK(status < 300 || status >= 400 || reader->is_known, FV_ERR_ARGUMENT,
             "the judge at %s redirects (status %d); its address is another one", reader->access->url.data,
             status);
    FV_TRY(status >= 200 && status < 300 ? read_success(reader, status, response->body, out)
                                         : read_refusal(reader, status, response->body, out));
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
        return FV_FAIL(FV_ERR_ARGUMENT, "the judge at %s cannot be trusted: %s", reader->access->url.data,
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
