/* What the parts of the API judge share. */
#ifndef FOVEA_SRC_REWARD_JUDGE_JUDGE_API_INTERNAL_H
#define FOVEA_SRC_REWARD_JUDGE_JUDGE_API_INTERNAL_H

#include "fovea/io/http.h"
#include "fovea/reward/judge/judge_api.h"

enum { FV_API_MAX_HEADERS = 32, FV_API_MAX_SECRETS = FV_API_MAX_HEADERS + 1 };

/* Where to ask, and by what right. Headers and secrets are owned; their memory becomes 0. */
typedef struct fv_api_access {
    fv_buffer url;
    char *headers[FV_API_MAX_HEADERS + 1]; /* ended by NULL */
    char *secrets[FV_API_MAX_SECRETS + 1]; /* that headers hold and no sentence may; ended by NULL */
    int n_headers, n_secrets;
    int has_key;
    const char *ca_file, *ca_folder; /* of the settings, or of the environment */
} fv_api_access;

fv_err fv_api_access_find(const fv_judge_api_settings *settings, fv_api_access *out);
void fv_api_access_fini(fv_api_access *access);

/* The first of these variables of the environment that is not empty; NULL: none. names is ended by NULL. */
const char *fv_api_variable(const char *const *names);

/* Add a header and remember a secret; both copy. */
fv_err fv_api_access_add(fv_api_access *access, const char *header);
fv_err fv_api_access_hide(fv_api_access *access, const char *secret);
int fv_api_access_has(const fv_api_access *access, const char *name); /* a header of this name */

/* Add the headers of judge_api.h's setting. */
fv_err fv_api_headers_add(fv_api_access *access, const char *setting);

/* How a request is written, as far as servers differ. */
typedef enum fv_api_bound { FV_API_MAX_TOKENS, FV_API_MAX_COMPLETION_TOKENS, FV_API_NO_BOUND } fv_api_bound;

typedef struct fv_api_form {
    int has_no_temperature;
    fv_api_bound bound; /* of a reply */
    int has_no_system;  /* its text stands before the user's */
} fv_api_form;

/* The form to begin with. */
fv_api_form fv_api_form_of(const fv_judge_api_settings *settings);
int fv_api_form_equal(fv_api_form a, fv_api_form b);

/* Append the JSON of a request. */
fv_err fv_api_form_write(fv_api_form form, const fv_judge_api_settings *settings,
                         const fv_judge_prompt *prompt, const fv_case *asked, double temperature,
                         fv_buffer *out);

/* What a server says that does not take a request. */
typedef struct fv_api_refusal {
    int status;
    char sentence[320]; /* of its message the first, without secrets; "": it gave none */
    char kind[128];     /* status and codes: of the same kind are the same */
    char words[4096];   /* all texts of its body, in lower case */
} fv_api_refusal;

/* status: of HTTP, or what the body names in its place. */
void fv_api_refusal_read(const fv_api_access *access, int status, fv_slice body, fv_api_refusal *out);

/* What it is about. */
int fv_api_refusal_is_of_quota(const fv_api_refusal *refusal);
int fv_api_refusal_is_of_filter(const fv_api_refusal *refusal);
int fv_api_refusal_is_of_key(const fv_api_refusal *refusal);
int fv_api_refusal_is_of_model(const fv_api_refusal *refusal);

/* 1 if the server refuses a part of the form that can be left out or named otherwise, and form without it;
 * *what says so. */
int fv_api_form_learn(fv_api_form *form, const fv_api_refusal *refusal, const char **what);

/* What a completion says, whole or streamed. Starts as {0}; fini. */
typedef struct fv_api_completion {
    fv_buffer text;
    int has_text, is_refused, is_ended;
    enum { FV_API_FINISH_NONE, FV_API_FINISH_CUT, FV_API_FINISH_FILTER, FV_API_FINISH_ERROR } finish;
    fv_buffer error; /* a body of JSON that is an error in place of a completion */
    int error_status;
} fv_api_completion;

/* FV_ERR_FORMAT: the body is none. */
fv_err fv_api_completion_read(fv_slice body, fv_api_completion *out);
void fv_api_completion_fini(fv_api_completion *completion);

/* What to do after a response. */
typedef enum fv_api_act {
    FV_API_DONE,  /* the verdict, or that there is none, is final */
    FV_API_AGAIN, /* ask again */
    FV_API_LATER, /* the server is not well: ask again after a pause */
    FV_API_REFORM /* ask again in another form: this was no try */
} fv_api_act;

typedef struct fv_api_reading {
    fv_api_act act;
    fv_verdict verdict;
    int is_reply;   /* the server has dealt with this case, well or badly */
    double pause_s; /* it wants at least; 0: it did not say */
    fv_api_form form;
    const char *learnt;     /* of FV_API_REFORM */
    fv_api_refusal refusal; /* status 0: it did not refuse */
} fv_api_reading;

typedef struct fv_api_reader {
    const fv_api_access *access;
    const fv_judge_api_settings *settings;
    fv_grammar grammar;
    fv_api_form form; /* of the request */
    int is_known;     /* the server has answered well before: so what it does not take now is this one case */
} fv_api_reader;

/* FV_ERR_ARGUMENT: asking again cannot help, for this and for any case. */
fv_err fv_api_read(const fv_api_reader *reader, const fv_http_response *response, fv_api_reading *out);

/* Whether the server is there, from what became of requests. Starts as {0}: it is. */
typedef struct fv_breaker {
    int n_failed; /* in a row */
    int is_open, is_probing;
    double since_s;  /* when it was opened */
    double probe_s;  /* when the next probe may be sent */
    double pause_s;  /* before it */
    fv_unjudged why; /* of the last failure */
} fv_breaker;

enum { FV_BREAKER_FAILURES = 5 };

int fv_breaker_allows(const fv_breaker *breaker, double now_s);
void fv_breaker_send(fv_breaker *breaker); /* a request is sent; of an open one: its probe */
void fv_breaker_succeed(fv_breaker *breaker);
void fv_breaker_fail(fv_breaker *breaker, double now_s, const fv_api_reading *reading, int is_probe);

#endif
