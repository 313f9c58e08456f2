/* What the parts of the API judge share. */
#ifndef FOVEA_LOOP_JUDGE_API_INTERNAL_H
#define FOVEA_LOOP_JUDGE_API_INTERNAL_H

#include "fovea/http.h"
#include "fovea/judge_api.h"

/* Where to ask, and by what right. */
typedef struct fv_api_access {
    fv_buffer url;
    fv_buffer header; /* with the key; no data: there is no key */
} fv_api_access;

fv_err fv_api_access_find(const fv_judge_api_settings *settings, fv_api_access *out);
void fv_api_access_fini(fv_api_access *access); /* the key's memory becomes 0 */

/* What to do after a response. */
typedef enum fv_api_act {
    FV_API_DONE,  /* the verdict, or that there is none, is final */
    FV_API_AGAIN, /* ask again */
    FV_API_LATER  /* the server is not well: ask again after a pause */
} fv_api_act;

typedef struct fv_api_reading {
    fv_api_act act;
    fv_verdict verdict;
    int is_reply;   /* the server has dealt with this case, well or badly */
    double pause_s; /* it wants at least; 0: it did not say */
} fv_api_reading;

typedef struct fv_api_reader {
    fv_grammar grammar;
    const char *url; /* for sentences */
    int is_known;    /* the server has answered well before: so what it does not take now is this one case */
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
