/* Address, headers and key of an API. The key must not come into any sentence. */
#include "reward/judge/judge_api_internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_KEY = 4096, LEAST_SECRET = 4 };

/* Variables of the environment: our own, then those of others. */
static const char *const openai_keys[] = {"OPENAI_API_KEY", NULL},
                         *const openai_urls[] = {"OPENAI_BASE_URL", NULL},
                         *const azure_keys[] = {"AZURE_API_KEY", "AZURE_OPENAI_API_KEY", NULL},
                         *const azure_urls[] = {"AZURE_ENDPOINT", "AZURE_OPENAI_ENDPOINT", NULL},
                         *const azure_versions[] = {"AZURE_API_VERSION", "AZURE_OPENAI_API_VERSION",
                                                    "OPENAI_API_VERSION", NULL},
                         *const ca_files[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", NULL},
                         *const ca_folders[] = {"SSL_CERT_DIR", NULL};

static const struct {
    const char *const *key_variables;
    const char *header;
} services[] = {
    [FV_API_OPENAI] = {openai_keys, "Authorization: Bearer "}, [FV_API_AZURE] = {azure_keys, "api-key: "}};

const char *fv_api_variable(const char *const *names)
{
    for (; *names; names++) {
        const char *value = getenv(*names);
        if (value && value[0])
            return value;
    }
    return NULL;
}

/* Headers. */

static fv_err copy_to(char **list, int *n, int most, const char *text)
{
    FV_CHECK(*n < most, FV_ERR_ARGUMENT, "judge.headers: more than %d headers or variables", most);
    FV_CHECK(list[*n] = strdup(text), FV_ERR_MEMORY, "no memory for the headers of a judge");
    ++*n;
    return FV_OK;
}

fv_err fv_api_access_add(fv_api_access *access, const char *header)
{
    return copy_to(access->headers, &access->n_headers, FV_API_MAX_HEADERS, header);
}

fv_err fv_api_access_hide(fv_api_access *access, const char *secret)
{
    if (strlen(secret) < LEAST_SECRET)
        return FV_OK; /* it would make holes in every sentence */
    return copy_to(access->secrets, &access->n_secrets, FV_API_MAX_SECRETS, secret);
}

int fv_api_access_has(const fv_api_access *access, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < access->n_headers; i++)
        if (strncasecmp(access->headers[i], name, n) == 0 && access->headers[i][n] == ':')
            return 1;
    return 0;
}

/* The key. */

static const char white[] = " \t\r\n";

static fv_err check_owner(const char *path, int descriptor)
{
    struct stat info;
    FV_CHECK(fstat(descriptor, &info) == 0, FV_ERR_IO, "cannot examine %s: %s", path, strerror(errno));
    FV_CHECK(S_ISREG(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 077) == 0, FV_ERR_ARGUMENT,
             "%s holds a key and must be a file that only you can read: chmod 600 it", path);
    return FV_OK;
}

/* At most MAX_KEY bytes; key has room for a NUL. */
static fv_err read_descriptor(const char *path, int descriptor, char *key)
{
    FV_TRY(check_owner(path, descriptor));
    ssize_t n = read(descriptor, key, MAX_KEY);
    FV_CHECK(n >= 0, FV_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    key[n] = '\0';
    return FV_OK;
}

static void trim(char *key)
{
    size_t n = strlen(key);
    while (n > 0 && strchr(white, key[n - 1]))
        key[--n] = '\0';
}

static fv_err read_key(const fv_judge_api_settings *settings, char *key)
{
    const char *path = settings->key_file;
    if (!path[0]) {
        const char *value = fv_api_variable(services[settings->service].key_variables);
        FV_CHECK(!value || strlen(value) <= MAX_KEY, FV_ERR_ARGUMENT, "%s is too long for a key",
                 services[settings->service].key_variables[0]);
        strcpy(key, value ? value : "");
        return FV_OK;
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FV_CHECK(descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    fv_err err = read_descriptor(path, descriptor, key);
    close(descriptor);
    return err;
}

static fv_err set_key(const fv_judge_api_settings *settings, const char *key, fv_api_access *out)
{
    char line[MAX_KEY + 64];
    for (const char *c = key; *c; c++)
        FV_CHECK(*c > ' ' && *c < 0x7f, FV_ERR_ARGUMENT,
                 "the key for the judge holds a character that no key has (it is taken from %s)",
                 settings->key_file[0] ? settings->key_file : services[settings->service].key_variables[0]);
    snprintf(line, sizeof line, "%s%s", services[settings->service].header, key);
    fv_err err = fv_api_access_add(out, line);
    explicit_bzero(line, sizeof line);
    return err == FV_OK ? fv_api_access_hide(out, key) : err;
}

static int has_right(const fv_api_access *access)
{
    return fv_api_access_has(access, "Authorization") || fv_api_access_has(access, "api-key");
}

/* In clear text a key would be anyone's. */
static fv_err check_way(const fv_judge_api_settings *settings, const fv_api_access *access, int is_safe)
{
    static const char mend[] =
        "goes over https, or over plain http to this machine; judge.key_over_http allows "
        "others";
    FV_CHECK(is_safe || !settings->key_file[0], FV_ERR_ARGUMENT,
             "judge.key_file is for https only, but the address is %s: a key %s", access->url.data, mend);
    FV_CHECK(is_safe || access->n_secrets == 0, FV_ERR_ARGUMENT,
             "judge.headers holds what may be a key, but the address is %s: a key %s", access->url.data,
             mend);
    return FV_OK;
}

/* Whoever gives a right in judge.headers means that one. */
static fv_err find_key(const fv_judge_api_settings *settings, fv_api_access *out)
{
    char key[MAX_KEY + 1] = "";
    const char *url = out->url.data;
    int is_tls = strncasecmp(url, "https://", 8) == 0;
    int is_safe = is_tls || settings->key_over_http || fv_http_is_loopback(url);
    FV_TRY(check_way(settings, out, is_safe));
    out->has_key = has_right(out);
    if (!is_safe || out->has_key)
        return FV_OK;
    fv_err err = read_key(settings, key);
    trim(key);
    out->has_key = key[0] != '\0';
    if (err == FV_OK && is_tls && !out->has_key)
        err = FV_FAIL(FV_ERR_ARGUMENT, "there is no key for %s: set %s, or judge.key_file to a file with it",
                      url, services[settings->service].key_variables[0]);
    if (err == FV_OK && out->has_key)
        err = set_key(settings, key, out);
    explicit_bzero(key, sizeof key);
    return err;
}

static fv_err find_headers(const fv_judge_api_settings *settings, fv_api_access *out)
{
    FV_TRY(fv_api_headers_add(out, settings->headers ? settings->headers : ""));
    FV_TRY(fv_api_access_add(out, "Content-Type: application/json"));
    if (!fv_api_access_has(out, "User-Agent"))
        FV_TRY(fv_api_access_add(out, "User-Agent: fovea/" FOVEA_VERSION));
    return find_key(settings, out);
}

/* Addresses. */

static int bare_length(const char *url)
{
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        n--;
    return (int)n;
}

/* As RFC 3986 has it in a part of a path or a query. */
static fv_err print_encoded(const char *text, fv_buffer *out)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        int is_plain = isalnum(c) || strchr("-._~", c);
        FV_TRY(fv_buffer_print(out, is_plain ? "%c" : "%%%02X", c));
    }
    return FV_OK;
}

static fv_err find_azure(const fv_judge_api_settings *settings, fv_buffer *out)
{
    const char *base = settings->url[0] ? settings->url : fv_api_variable(azure_urls);
    const char *version = fv_api_variable(azure_versions);
    FV_CHECK(base, FV_ERR_ARGUMENT, "%s is not set in the environment, nor %s; nor is judge.url",
             azure_urls[0], azure_urls[1]);
    FV_CHECK(version, FV_ERR_ARGUMENT, "%s is not set in the environment, nor %s or %s", azure_versions[0],
             azure_versions[1], azure_versions[2]);
    FV_TRY(fv_buffer_print(out, "%.*s/openai/deployments/", bare_length(base), base));
    FV_TRY(print_encoded(settings->model, out));
    FV_TRY(fv_buffer_print(out, "/chat/completions?api-version="));
    return print_encoded(version, out);
}

static fv_err find_openai(const fv_judge_api_settings *settings, fv_buffer *out)
{
    const char *base = settings->url[0] ? settings->url : fv_api_variable(openai_urls);
    if (!base)
        base = "https://api.openai.com/v1";
    return fv_buffer_print(out, "%.*s/chat/completions", bare_length(base), base);
}

/* A bundle of the environment is as wrong as one of the settings if it cannot be read, and is named. */
static fv_err find_trust(const fv_judge_api_settings *settings, fv_api_access *out)
{
    const char *file = fv_api_variable(ca_files), *folder = fv_api_variable(ca_folders);
    out->ca_file = settings->ca_file[0] ? settings->ca_file : file ? file : "";
    out->ca_folder = settings->ca_file[0] || !folder ? "" : folder;
    FV_CHECK(settings->ca_file[0] || !file || access(file, R_OK) == 0, FV_ERR_IO,
             "cannot read %s, which %s or %s names: %s", file, ca_files[0], ca_files[1], strerror(errno));
    return FV_OK;
}

fv_err fv_api_access_find(const fv_judge_api_settings *settings, fv_api_access *out)
{
    *out = (fv_api_access){0};
    fv_err err = settings->service == FV_API_AZURE ? find_azure(settings, &out->url)
                                                   : find_openai(settings, &out->url);
    if (err == FV_OK)
        err = find_trust(settings, out);
    if (err == FV_OK)
        err = find_headers(settings, out);
    if (err != FV_OK)
        fv_api_access_fini(out);
    return err;
}

static void forget(char **list)
{
    for (; *list; *list++ = NULL) {
        explicit_bzero(*list, strlen(*list));
        free(*list);
    }
}

void fv_api_access_fini(fv_api_access *access)
{
    forget(access->headers);
    forget(access->secrets);
    fv_buffer_fini(&access->url);
    *access = (fv_api_access){0};
}
