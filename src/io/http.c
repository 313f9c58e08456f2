#include "fovea/io/http.h"

#include "fovea/base/buffer.h"
#include "fovea/base/clock.h"
#include "fovea/base/file.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_MS = 30000, LONGEST_PAUSE_S = 1 << 20 };

/* A handle and the request it is busy with; handles are made at their first use and kept. */
typedef struct slot {
    fv_http *http;
    CURL *easy;
    fv_buffer body;       /* of the response */
    double retry_after_s; /* of a header in milliseconds; 0: there was none */
    double posted_s;
    int has_begun; /* something of the response is there */
    int is_again;  /* this is the second sending */
    char problem[CURL_ERROR_SIZE];
    fv_http_done done;
    void *context;
    struct slot *next; /* free one */
} slot;

struct fv_http {
    char *url, *ca_file, *ca_folder;
    struct curl_slist *headers;
    double deadline_s;
    size_t max_bytes;
    CURLM *multi;
    slot *slots; /* owned, (max_in_flight) */
    int n_slots, n_free;
    slot *free;
};

/* Requests. */

static size_t receive(char *data, size_t one, size_t n, void *context)
{
    slot *s = context;
    size_t bytes = one * n;
    if (s->body.size + bytes > s->http->max_bytes || fv_buffer_append(&s->body, data, bytes) != FV_OK)
        return 0; /* ends the request with CURLE_WRITE_ERROR */
    return bytes;
}

/* libcurl knows Retry-After; this is the header of OpenAI and Azure. A line is not ended by NUL. */
static size_t receive_header(char *line, size_t one, size_t n, void *context)
{
    static const char name[] = "retry-after-ms:";
    slot *s = context;
    char number[32];
    size_t size = one * n, length = strlen(name);
    s->has_begun = 1;
    if (size > length && strncasecmp(line, name, length) == 0) {
        snprintf(number, sizeof number, "%.*s", (int)(size - length), line + length);
        double ms = strtod(number, NULL);
        s->retry_after_s = ms > 0 ? fmin(ms / 1000, LONGEST_PAUSE_S) : 0;
    }
    return size;
}

static int set_trust(const fv_http *http, CURL *easy)
{
    int failed = 0;
    failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    failed |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    failed |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (http->ca_file[0])
        failed |= curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
    if (http->ca_folder[0])
        failed |= curl_easy_setopt(easy, CURLOPT_CAPATH, http->ca_folder);
    if (fv_http_is_loopback(http->url))
        failed |= curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    return failed;
}

static int set_options(slot *s)
{
    const fv_http *http = s->http;
    CURL *easy = s->easy;
    int failed = set_trust(http, easy);
    failed |= curl_easy_setopt(easy, CURLOPT_URL, http->url);
    failed |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    failed |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    failed |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    failed |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, ""); /* all that can be unpacked */
    failed |= curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* rather share a connection than open one */
    /* CURLOPT_NOSIGNAL stays off: with it, writing to a connection that the server has closed would end the
     * process. */
    failed |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    failed |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, s);
    failed |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_header);
    failed |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, s);
    failed |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, s->problem);
    failed |= curl_easy_setopt(easy, CURLOPT_PRIVATE, s);
    return failed;
}

static fv_err open_slot(slot *s)
{
    s->easy = curl_easy_init();
    FV_CHECK(s->easy && set_options(s) == 0, FV_ERR_MEMORY, "cannot prepare a request to %s", s->http->url);
    return FV_OK;
}

/* Begin to send, for the second time on a connection of its own; both have one deadline. */
static int start(slot *s, int is_again)
{
    double left_s = fmax(s->posted_s + s->http->deadline_s - fv_clock_now(), 0.001);
    s->is_again = is_again;
    s->has_begun = 0;
    s->body.size = 0;
    s->retry_after_s = 0;
    s->problem[0] = '\0';
    return curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)ceil(1000 * left_s)) == CURLE_OK &&
           curl_easy_setopt(s->easy, CURLOPT_FRESH_CONNECT, (long)is_again) == CURLE_OK &&
           curl_multi_add_handle(s->http->multi, s->easy) == CURLM_OK;
}

int fv_http_room(const fv_http *http)
{
    return http->n_free;
}

fv_err fv_http_post(fv_http *http, fv_slice body, fv_http_done done, void *context)
{
    slot *s = http->free;
    FV_CHECK(s, FV_ERR_ARGUMENT, "%d requests to %s are under way; no more than that", http->n_slots,
             http->url);
    if (!s->easy)
        FV_TRY(open_slot(s));
    s->done = done;
    s->context = context;
    s->posted_s = fv_clock_now();
    int failed = curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    failed |= curl_easy_setopt(s->easy, CURLOPT_COPYPOSTFIELDS, body.size ? body.data : "");
    FV_CHECK(!failed && start(s, 0), FV_ERR_MEMORY, "cannot start a request to %s", http->url);
    http->free = s->next;
    http->n_free--;
    return FV_OK;
}

/* Responses. */

static fv_http_outcome outcome_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return FV_HTTP_ANSWERED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return FV_HTTP_UNREACHABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return FV_HTTP_UNTRUSTED;
    case CURLE_OPERATION_TIMEDOUT:
        return FV_HTTP_LATE;
    case CURLE_WRITE_ERROR:
        return FV_HTTP_TOO_LONG;
    default:
        return FV_HTTP_BROKEN;
    }
}

static fv_err tell(slot *s, CURLcode code)
{
    long status = 0;
    curl_off_t retry_after = 0;
    const char *type = NULL;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_getinfo(s->easy, CURLINFO_CONTENT_TYPE, &type);
    double after_s = fmin((double)retry_after, LONGEST_PAUSE_S); /* a date that is over is below 0 */
    const fv_http_response response = {.outcome = outcome_of(code),
                                       .problem = s->problem[0] ? s->problem : curl_easy_strerror(code),
                                       .status = (int)status,
                                       .retry_after_s =
                                           s->retry_after_s > 0 ? s->retry_after_s : fmax(0, after_s),
                                       .content_type = type ? type : "",
                                       .body = {s->body.data, s->body.size}};
    return s->done(s->context, &response);
}

static void release(fv_http *http, slot *s)
{
    s->next = http->free;
    http->free = s;
    http->n_free++;
}

/* A connection that was kept may be gone when a request comes: that is no fault of either side. libcurl sends
 * again only what had gone out whole. */
static int was_stale(const slot *s, CURLcode code)
{
    long n_connects = 1;
    curl_easy_getinfo(s->easy, CURLINFO_NUM_CONNECTS, &n_connects);
    return outcome_of(code) == FV_HTTP_BROKEN && n_connects == 0 && !s->has_begun && !s->is_again;
}

/* *n_done: requests that are over. Goes on after a failure, so that no request is told of twice or never. */
static fv_err move(fv_http *http, int *n_done)
{
    int running, left;
    fv_err err = FV_OK;
    *n_done = 0;
    CURLMcode moved = curl_multi_perform(http->multi, &running);
    FV_CHECK(moved == CURLM_OK, FV_ERR_IO, "requests to %s: %s", http->url, curl_multi_strerror(moved));
    for (const CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        slot *s;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &s);
        curl_multi_remove_handle(http->multi, s->easy); /* message is gone now */
        if (was_stale(s, code) && start(s, 1))
            continue;
        fv_err told = tell(s, code);
        release(http, s);
        ++*n_done;
        err = err != FV_OK ? err : told;
    }
    return err;
}

fv_err fv_http_poll(fv_http *http, double wait_s)
{
    int n_done;
    FV_TRY(move(http, &n_done));
    if (n_done > 0 || wait_s <= 0)
        return FV_OK;
    CURLMcode waited = curl_multi_poll(http->multi, NULL, 0, (int)ceil(1000 * fmin(wait_s, 1e6)), NULL);
    FV_CHECK(waited == CURLM_OK, FV_ERR_IO, "requests to %s: %s", http->url, curl_multi_strerror(waited));
    return move(http, &n_done);
}

/* Addresses: as libcurl reads them, which connects to them. */

static int is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
    return strcasecmp(host, "localhost") == 0;
}

int fv_http_is_loopback(const char *url)
{
    CURLU *parts = curl_url();
    char *host = NULL, bare[INET6_ADDRSTRLEN] = "";
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        snprintf(bare, sizeof bare, "%s", host[0] == '[' ? host + 1 : host); /* what is longer is none */
    bare[strcspn(bare, "]")] = '\0';
    int is = is_loopback(bare);
    curl_free(host);
    curl_url_cleanup(parts);
    return is;
}

/* Life. */

static fv_err check(const fv_http_settings *settings)
{
    const char *url = settings->url;
    FV_CHECK(strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0, FV_ERR_ARGUMENT,
             "\"%s\" is no address of a server: https://... or http://...", url);
    FV_CHECK(!strchr(url, '@'), FV_ERR_ARGUMENT,
             "an address with \"@\": names and passwords do not go there");
    for (const char *c = url; *c; c++)
        FV_CHECK((unsigned char)*c > ' ', FV_ERR_ARGUMENT, "the address \"%s\" holds white space", url);
    if (!settings->ca_file[0])
        return FV_OK;
    fv_file_map map;
    FV_TRY(fv_file_open_map(settings->ca_file, &map)); /* the library would tell at the first request */
    fv_file_close_map(&map);
    return FV_OK;
}

static fv_err add_headers(fv_http *http, const char *const *headers)
{
    for (const char *const *line = headers; *line; line++) {
        struct curl_slist *longer = curl_slist_append(http->headers, *line);
        FV_CHECK(longer, FV_ERR_MEMORY, "no memory for headers of requests");
        http->headers = longer;
    }
    return FV_OK;
}

static fv_err open_multi(fv_http *http)
{
    http->multi = curl_multi_init();
    long n = http->n_slots;
    FV_CHECK(http->multi && curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, n) == CURLM_OK &&
                 curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, n) == CURLM_OK,
             FV_ERR_MEMORY, "cannot prepare requests to %s", http->url);
    return FV_OK;
}

static fv_err copy_settings(fv_http *http, const fv_http_settings *settings)
{
    http->url = strdup(settings->url);
    http->ca_file = strdup(settings->ca_file);
    http->ca_folder = strdup(settings->ca_folder ? settings->ca_folder : "");
    http->slots = calloc((size_t)settings->max_in_flight, sizeof *http->slots);
    FV_CHECK(http->url && http->ca_file && http->ca_folder && http->slots, FV_ERR_MEMORY,
             "cannot allocate %d requests", settings->max_in_flight);
    http->n_slots = settings->max_in_flight;
    for (int i = 0; i < http->n_slots; i++) {
        http->slots[i].http = http;
        release(http, &http->slots[i]);
    }
    FV_TRY(add_headers(http, settings->headers));
    /* No wait for a "100 Continue" before a long body. */
    FV_TRY(add_headers(http, (const char *const[]){"Expect:", NULL}));
    return open_multi(http);
}

fv_err fv_http_create(const fv_http_settings *settings, fv_http **out)
{
    *out = NULL;
    FV_TRY(check(settings));
    FV_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, FV_ERR_MEMORY, "cannot start libcurl");
    fv_http *http = calloc(1, sizeof *http);
    if (!http)
        curl_global_cleanup();
    FV_CHECK(http, FV_ERR_MEMORY, "cannot allocate requests");
    http->deadline_s = settings->deadline_s;
    http->max_bytes = settings->max_bytes;
    fv_err err = copy_settings(http, settings);
    if (err == FV_OK)
        *out = http;
    else
        fv_http_destroy(http);
    return err;
}

void fv_http_destroy(fv_http *http)
{
    if (!http)
        return;
    for (int i = 0; i < http->n_slots; i++) {
        if (http->slots[i].easy) {
            curl_multi_remove_handle(http->multi, http->slots[i].easy); /* of one not in it: nothing */
            curl_easy_cleanup(http->slots[i].easy);
        }
        fv_buffer_fini(&http->slots[i].body);
    }
    curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->headers);
    free(http->slots);
    free(http->ca_folder);
    free(http->ca_file);
    free(http->url);
    free(http);
    curl_global_cleanup();
}
