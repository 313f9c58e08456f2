/* POST requests to one address over HTTP, many at a time, from one thread. Local.
 *
 * Nothing moves by itself: fv_http_poll sends and receives what can be sent and received now, and whoever
 * waits or computes calls it now and then. That is enough, for what asks are judges, whose verdicts are
 * wanted when a rollout is over, and a pass of a rollout is short beside a request; and so there are no
 * locks, no errors on another thread, and no thread that takes a core from the kernels.
 *
 * Connections are kept and used again, with HTTP/2 where the server offers it. Certificates are verified. No
 * redirect is followed: it arrives as its status. A proxy is used if the environment names one (https_proxy,
 * no_proxy), but not to this machine. Bodies arrive unpacked (gzip and the like). */
#ifndef FOVEA_IO_HTTP_H
#define FOVEA_IO_HTTP_H

#include "fovea/base/error.h"
#include "fovea/base/text/slice.h"

typedef struct fv_http fv_http;

typedef struct fv_http_settings {
    const char *url;            /* "https://..." or "http://...", without a user's name */
    const char *const *headers; /* "Name: value" of every request, ended by NULL */
    const char *ca_file;        /* certificates to trust, PEM; "": the system's */
    const char *ca_folder;      /* and those in a folder of OpenSSL's (c_rehash); "" or NULL: none */
    int max_in_flight;
    double deadline_s; /* of a request, from fv_http_post to the last byte */
    size_t max_bytes;  /* of a response's body */
} fv_http_settings;

typedef enum fv_http_outcome {
    FV_HTTP_ANSWERED,    /* status says how */
    FV_HTTP_UNREACHABLE, /* there is no connection to be had */
    FV_HTTP_UNTRUSTED,   /* the server's certificate is not valid */
    FV_HTTP_LATE,        /* not all there at the deadline */
    FV_HTTP_BROKEN,      /* the connection ended before the response did */
    FV_HTTP_TOO_LONG     /* more than max_bytes */
} fv_http_outcome;

typedef struct fv_http_response {
    fv_http_outcome outcome;
    const char *problem; /* what went wrong, in words, if not answered; never holds a header of the request */
    int status;          /* of HTTP */
    double retry_after_s;     /* what the server asked for, as seconds, milliseconds or a date; 0: nothing */
    const char *content_type; /* "" if the server named none */
    fv_slice body;
} fv_http_response;

/* What is called when a request is over. All of response is borrowed for the call, which posts nothing. */
typedef fv_err (*fv_http_done)(void *context, const fv_http_response *response);

/* Copies all of settings. FV_ERR_ARGUMENT: an address that is none; FV_ERR_IO: ca_file cannot be read. */
fv_err fv_http_create(const fv_http_settings *settings, fv_http **out);

/* Whether an address is one of this machine: 127.0.0.0/8, ::1 or localhost. */
int fv_http_is_loopback(const char *url);

/* Requests under way are dropped; their done is not called. NULL is fine. */
void fv_http_destroy(fv_http *http);

int fv_http_room(const fv_http *http); /* requests that may be posted now */

/* Start a request. body is copied. If a connection that was kept turns out to be gone it is sent once more,
 * on a fresh one. FV_ERR_ARGUMENT if there is no room. */
fv_err fv_http_post(fv_http *http, fv_slice body, fv_http_done done, void *context);

/* Send and receive; call done of each request that is over, and return the first failure of one. If none is
 * over, wait up to wait_s for something to happen first. */
fv_err fv_http_poll(fv_http *http, double wait_s);

#endif
