/* A server of chat completions for tests: it gives the verdicts and the faults that the question's text asks
 * for.
 *
 * usage: judge_server FOLDER [--cert FILE --key FILE] [--latency MS] [--away-after N [--away-for MS]]
 * [--hold-after N]
 *                            [--require TEXT]... [--replies FOLDER] [--refuse TEXT=NAME]... [--plan
 * FAULT:PERCENT,...]
 *
 * It listens on a free port of 127.0.0.1, prints the number, and appends a line for each request to
 * FOLDER/requests: its fault, or "ok", the verdict, and the temperature. It runs until standard input ends.
 * With --require each request's head must hold TEXT, else the status is 401. A request that holds TEXT of
 * --refuse is answered with the reply NAME: a file of --replies with a whole response of HTTP, or with its
 * body alone if it does not start with "HTTP/". After request --away-after nobody listens, and every
 * connection is dropped, until FOLDER/back is there or --away-for is over. After request --hold-after
 * requests are noted, and answered when standard input ends: never. With --stale 1 a connection has one
 * request: it is kept, and reset when the next one begins.
 *
 * In the text of a request, "say-VERDICT" (right, wrong, ten, both, refuse, filter, cut, nothing) is what the
 * model says, else a hash of the text decides between right and wrong; "reply-NAME" is answered with that
 * reply; "first-FAULT" makes the first request with this text fail, "always-FAULT" all of them. --plan makes
 * a share of all requests fail, drawn by the number of the request. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_HEAD = 1 << 16, MAX_SEEN = 1 << 16, STACK_BYTES = 1 << 18, MAX_TEXTS = 8, MAX_REPLY = 1 << 16 };

static struct {
    const char *folder, *cert, *key, *plan, *replies;
    const char *require[MAX_TEXTS], *refuse[MAX_TEXTS];
    int n_require, n_refuse, latency_ms, away_after, away_for_ms, hold_after, stale;
} options;

static SSL_CTX *tls;
static FILE *requests;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seen[MAX_SEEN]; /* hashes of texts whose first request has been */
static int n_requests;
static atomic_int is_away;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void sleep_ms(int ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

static uint64_t hash_of(const char *text)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3U;
    return h ^ h >> 29;
}

/* Connections. */

typedef struct connection {
    int socket;
    SSL *ssl; /* NULL: plain */
    char head[MAX_HEAD + 1];
    size_t n; /* bytes in head */
    int n_served;
} connection;

static long get(connection *c, char *out, size_t n)
{
    return c->ssl ? SSL_read(c->ssl, out, (int)n) : read(c->socket, out, n);
}

static int put(connection *c, const char *text, size_t n)
{
    while (n > 0) {
        long done = c->ssl ? SSL_write(c->ssl, text, (int)n) : write(c->socket, text, n);
        if (done <= 0)
            return -1;
        text += done;
        n -= (size_t)done;
    }
    return 0;
}

static char *reset(connection *c)
{
    setsockopt(c->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    return NULL; /* close does it */
}

/* The head of a request stays in c->head, cut at its end; its body is allocated. NULL: no request any more.
 */
static char *read_request(connection *c)
{
    char *end;
    while (c->head[c->n] = '\0', !(end = strstr(c->head, "\r\n\r\n"))) {
        long got = c->n < MAX_HEAD ? get(c, c->head + c->n, MAX_HEAD - c->n) : 0;
        if (got <= 0)
            return NULL;
        c->n += (size_t)got;
        if (options.stale && c->n_served > 0)
            return reset(c);
    }
    const char *length = strcasestr(c->head, "content-length:");
    size_t size = length ? strtoul(length + 15, NULL, 10) : 0, have = c->n - (size_t)(end + 4 - c->head);
    char *body = malloc(size + 1);
    if (!body)
        return NULL;
    memcpy(body, end + 4, have < size ? have : size);
    for (long got; have < size; have += (size_t)got)
        if ((got = get(c, body + have, size - have)) <= 0)
            return free(body), NULL;
    body[size] = '\0';
    *end = '\0';
    c->n = 0;
    return body;
}

static int respond(connection *c, const char *status, const char *headers, const char *type, const char *body)
{
    char head[1024];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                     status, headers, type, strlen(body));
    return put(c, head, (size_t)n) == 0 && put(c, body, strlen(body)) == 0 ? 0 : -1;
}

/* What the model says. */

/* What a text is known by: without the temperature, which rises from try to try. */
static uint64_t identity_of(const char *body)
{
    const char *messages = strstr(body, "\"messages\"");
    return hash_of(messages ? messages : body);
}

static const char *verdict_of(const char *body, char word[16])
{
    const char *say = strstr(body, "say-");
    if (!say)
        return identity_of(body) & 1 ? "right" : "wrong";
    sscanf(say, "say-%15[a-z]", word);
    return word;
}

static const char *completion_of(const char *verdict)
{
    static const struct {
        const char *verdict, *text;
    } texts[] = {
        {"right", "\"finish_reason\":\"stop\",\"message\":{\"content\":\"**Score**: 1\"}"},
        {"wrong", "\"finish_reason\":\"stop\",\"message\":{\"content\":\"{\\\"score\\\": 0}\"}"},
        {"ten", "\"finish_reason\":\"stop\",\"message\":{\"content\":\"Score: 10\"}"},
        {"both", "\"finish_reason\":\"stop\",\"message\":{\"content\":\"Score: 1\\nScore: 0\"}"},
        {"refuse", "\"finish_reason\":\"stop\",\"message\":{\"content\":null,\"refusal\":\"I will not.\"}"},
        {"filter", "\"finish_reason\":\"content_filter\",\"message\":{\"content\":\"\"}"},
        {"cut", "\"finish_reason\":\"length\",\"message\":{\"content\":\"Score: 1\"}"},
        {"nothing", "\"finish_reason\":\"stop\",\"message\":{}"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].verdict, verdict) == 0)
            return texts[i].text;
    return "";
}

static int say(connection *c, const char *verdict)
{
    char body[512];
    snprintf(body, sizeof body, "{\"id\":\"x\",\"choices\":[{\"index\":0,%s}]}", completion_of(verdict));
    return respond(c, "200 OK", "", "application/json; charset=utf-8", body);
}

/* Replies that tests wrote. */

/* Such a response ends with its connection, and says so: a client that used it again would race its end. */
static int put_whole(connection *c, const char *text, size_t n)
{
    static const char close_it[] = "Connection: close\r\n";
    size_t line = strcspn(text, "\n");
    if (line < n) {
        put(c, text, ++line);
        put(c, close_it, sizeof close_it - 1);
    } else {
        line = 0;
    }
    put(c, text + line, n - line);
    return -1;
}

static int reply(connection *c, const char *name)
{
    char path[4096], *text = malloc(MAX_REPLY + 1);
    snprintf(path, sizeof path, "%s/%s", options.replies, name);
    FILE *file = fopen(path, "r");
    if (!file || !text)
        die(path);
    size_t n = fread(text, 1, MAX_REPLY, file);
    text[n] = '\0';
    fclose(file);
    int left = strncmp(text, "HTTP/", 5) == 0 ? put_whole(c, text, n)
                                              : respond(c, "200 OK", "", "application/json", text);
    free(text);
    return left;
}

/* The reply to a request that holds what is refused. */
static int find_refusal(const char *body, char name[64])
{
    char text[256];
    for (int i = 0; i < options.n_refuse; i++)
        if (sscanf(options.refuse[i], "%255[^=]=%63s", text, name) == 2 && strstr(body, text))
            return 1;
    const char *asked = strstr(body, "reply-");
    return asked && sscanf(asked, "reply-%63[a-z0-9_]", name) == 1;
}

static int is_entitled(const char *head)
{
    for (int i = 0; i < options.n_require; i++)
        if (!strstr(head, options.require[i]))
            return 0;
    return 1;
}

/* Faults. Each returns -1 if the connection ends with it. */

static int stall(connection *c)
{
    struct pollfd gone = {c->socket, POLLIN, 0};
    poll(&gone, 1, 60000); /* until the other side gives up */
    return -1;
}

static int fail(connection *c, const char *fault)
{
    static const char json[] = "application/json", problem[] = "{\"error\": {\"message\": \"no\"}}";
    char line[64];
    if (strcmp(fault, "stall") == 0)
        return stall(c);
    if (strcmp(fault, "drop") == 0)
        return -1;
    if (strcmp(fault, "half") == 0) {
        snprintf(line, sizeof line, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"choices\"");
        put(c, line, strlen(line));
        return -1;
    }
    if (strcmp(fault, "garbage") == 0)
        return respond(c, "200 OK", "", json, "{\"choices\": [}");
    if (strcmp(fault, "html") == 0)
        return respond(c, "200 OK", "", "text/html", "<html>Score: 1</html>");
    if (strcmp(fault, "busy") == 0)
        return respond(c, "429 Too Many Requests", "Retry-After: 1\r\n", json, problem);
    if (strcmp(fault, "redirect") == 0)
        return respond(c, "302 Found", "Location: http://127.0.0.1/\r\n", json, problem);
    if (strcmp(fault, "filtered") == 0)
        return respond(c, "400 Bad Request", "", json, "{\"error\": {\"code\": \"content_filter\"}}");
    snprintf(line, sizeof line, "%.3s -", fault); /* a status */
    return respond(c, line, "", json, problem);
}

static int is_first(uint64_t hash)
{
    size_t i = hash % MAX_SEEN;
    while (seen[i] && seen[i] != hash)
        i = (i + 1) % MAX_SEEN;
    int is_new = !seen[i];
    seen[i] = hash;
    return is_new;
}

/* Draws one of --plan's faults with its share. */
static int draw_planned(int number, char word[16])
{
    char text[32];
    snprintf(text, sizeof text, "request %d", number);
    double left = (double)(hash_of(text) % 10000) / 100;
    for (const char *at = options.plan; at && *at; at += strcspn(at, ","), at += *at == ',') {
        double share = 0;
        if (sscanf(at, "%15[a-z0-9]:%lf", word, &share) == 2 && (left -= share) < 0)
            return 1;
    }
    return 0;
}

/* 1 and the fault in word, if this request has one. */
static int fault_of(const char *body, char word[16], int *number)
{
    const char *first = strstr(body, "first-"), *always = strstr(body, "always-");
    pthread_mutex_lock(&lock);
    *number = ++n_requests;
    int is_faulty = 0;
    if (always)
        is_faulty = sscanf(always, "always-%15[a-z0-9]", word);
    else if (first && is_first(identity_of(body) | 1))
        is_faulty = sscanf(first, "first-%15[a-z0-9]", word);
    else
        is_faulty = draw_planned(*number, word);
    pthread_mutex_unlock(&lock);
    return is_faulty;
}

static void note(const char *fault, const char *verdict, const char *body)
{
    const char *temperature = strstr(body, "\"temperature\": ");
    pthread_mutex_lock(&lock);
    fprintf(requests, "%s %s %.3s\n", fault, verdict, temperature ? temperature + 15 : "");
    fflush(requests);
    pthread_mutex_unlock(&lock);
}

static int answer(connection *c, const char *body, int *number)
{
    char fault[16] = "", word[16] = "";
    const char *verdict = verdict_of(body, word);
    if (is_away)
        return -1; /* whoever is connected is dropped too */
    int is_faulty = fault_of(body, fault, number);
    note(is_faulty ? fault : "ok", verdict, body);
    if (!is_entitled(c->head))
        return respond(c, "401 Unauthorized", "", "application/json", "{}");
    if (options.hold_after && *number > options.hold_after)
        for (;;)
            pause();
    char name[64];
    if (find_refusal(body, name))
        return reply(c, name);
    sleep_ms(options.latency_ms);
    return is_faulty ? fail(c, fault) : say(c, verdict);
}

/* Serving. */

static pthread_mutex_t away = PTHREAD_MUTEX_INITIALIZER; /* held while nobody listens */
static int listener = -1, port;

static int listen_at(int wanted)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)wanted)};
    socklen_t size = sizeof at;
    int on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, (struct sockaddr *)&at, sizeof at) != 0 || listen(s, 512) != 0)
        die("listen");
    getsockname(s, (struct sockaddr *)&at, &size);
    port = ntohs(at.sin_port);
    return s;
}

static void go_away(void)
{
    pthread_mutex_lock(&away);
    char path[4096];
    snprintf(path, sizeof path, "%s/back", options.folder);
    shutdown(listener, SHUT_RDWR); /* wakes accept */
    close(listener);
    is_away = 1;
    for (int ms = 0; access(path, F_OK) != 0 && (ms < options.away_for_ms || !options.away_for_ms); ms++)
        sleep_ms(1);
    is_away = 0;
    listener = listen_at(port);
    pthread_mutex_unlock(&away);
}

static void *serve(void *context)
{
    connection *c = context;
    char *body;
    int on = 1, number = 0, goes_on = 1;
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (tls && (!(c->ssl = SSL_new(tls)) || !SSL_set_fd(c->ssl, c->socket) || SSL_accept(c->ssl) != 1))
        goes_on = 0;
    while (goes_on && (body = read_request(c))) {
        goes_on = answer(c, body, &number) == 0;
        c->n_served++;
        free(body);
        if (options.away_after && number == options.away_after)
            go_away();
    }
    if (c->ssl)
        SSL_free(c->ssl);
    close(c->socket);
    free(c);
    return NULL;
}

static void *watch_input(void *context)
{
    char c;
    (void)context;
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    exit(0);
}

static void start_thread(void *(*function)(void *), void *context)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (pthread_create(&thread, &attributes, function, context) != 0)
        die("thread");
    pthread_attr_destroy(&attributes);
}

static void accept_for_ever(void)
{
    for (;;) {
        int s = accept(listener, NULL, NULL);
        if (s < 0) {
            pthread_mutex_lock(&away); /* until somebody listens again */
            pthread_mutex_unlock(&away);
            continue;
        }
        connection *c = calloc(1, sizeof *c);
        if (!c)
            die("memory");
        c->socket = s;
        start_thread(serve, c);
    }
}

static FILE *open_requests(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/requests", options.folder);
    FILE *file = fopen(path, "w");
    if (!file)
        die(path);
    return file;
}

static void add(const char *text, const char *list[MAX_TEXTS], int *n)
{
    if (*n == MAX_TEXTS)
        exit(2);
    list[(*n)++] = text;
}

static void take(const char *name, const char *value)
{
    if (strcmp(name, "--cert") == 0)
        options.cert = value;
    else if (strcmp(name, "--key") == 0)
        options.key = value;
    else if (strcmp(name, "--latency") == 0)
        options.latency_ms = atoi(value);
    else if (strcmp(name, "--away-after") == 0)
        options.away_after = atoi(value);
    else if (strcmp(name, "--away-for") == 0)
        options.away_for_ms = atoi(value);
    else if (strcmp(name, "--hold-after") == 0)
        options.hold_after = atoi(value);
    else if (strcmp(name, "--stale") == 0)
        options.stale = atoi(value);
    else if (strcmp(name, "--require") == 0)
        add(value, options.require, &options.n_require);
    else if (strcmp(name, "--refuse") == 0)
        add(value, options.refuse, &options.n_refuse);
    else if (strcmp(name, "--replies") == 0)
        options.replies = value;
    else if (strcmp(name, "--plan") == 0)
        options.plan = value;
    else
        exit(2);
}

static void parse(int argc, char **argv)
{
    if (argc < 2)
        exit(2);
    options.folder = argv[1];
    for (int i = 2; i + 1 < argc; i += 2)
        take(argv[i], argv[i + 1]);
}

static void open_tls(void)
{
    tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, options.cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, options.key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    if (options.cert)
        open_tls();
    requests = open_requests();
    listener = listen_at(0);
    printf("%d\n", port);
    fflush(stdout);
    start_thread(watch_input, NULL);
    accept_for_ever();
}
