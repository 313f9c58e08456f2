/* Address and key of an API. The key must not come into any sentence. */
#include "loop/judge_api_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_KEY = 4096 };

static const struct {
    const char *key_variable, *header;
} services[] = {[FV_API_OPENAI] = {"OPENAI_API_KEY", "Authorization: Bearer "},
                [FV_API_AZURE] = {"AZURE_API_KEY", "api-key: "}};

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
    while (n > 0 && strchr(" \t\r\n", key[n - 1]))
        n--;
    key[n] = '\0';
    return FV_OK;
}

static fv_err read_key(const fv_judge_api_settings *settings, char *key)
{
    const char *path = settings->key_file, *variable = services[settings->service].key_variable;
    if (!path[0]) {
        const char *value = getenv(variable);
        FV_CHECK(!value || strlen(value) <= MAX_KEY, FV_ERR_ARGUMENT, "%s is too long for a key", variable);
        strcpy(key, value ? value : "");
        return FV_OK;
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FV_CHECK(descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    fv_err err = read_descriptor(path, descriptor, key);
    close(descriptor);
    return err;
}

static fv_err set_header(const fv_judge_api_settings *settings, const char *key, fv_buffer *out)
{
    for (const char *c = key; *c; c++)
        FV_CHECK(*c > ' ' && *c < 0x7f, FV_ERR_ARGUMENT,
                 "the key for the judge holds a character that no key has (it is taken from %s)",
                 settings->key_file[0] ? settings->key_file : services[settings->service].key_variable);
    return fv_buffer_print(out, "%s%s", services[settings->service].header, key);
}

/* In clear text a key would be anyone's. */
static fv_err find_key(const fv_judge_api_settings *settings, fv_api_access *out)
{
    char key[MAX_KEY + 1] = "";
    int is_safe = strncmp(out->url.data, "https://", 8) == 0;
    FV_CHECK(is_safe || !settings->key_file[0], FV_ERR_ARGUMENT,
             "judge.key_file is for https only, but the address is %s", out->url.data);
    if (!is_safe)
        return FV_OK;
    fv_err err = read_key(settings, key);
    if (err == FV_OK && !key[0])
        err = FV_FAIL(FV_ERR_ARGUMENT, "there is no key for %s: set %s, or judge.key_file to a file with it",
                      out->url.data, services[settings->service].key_variable);
    if (err == FV_OK)
        err = set_header(settings, key, &out->header);
    explicit_bzero(key, sizeof key);
    return err;
}

static fv_err variable_of(const char *name, const char **out)
{
    *out = getenv(name);
    FV_CHECK(*out && (*out)[0], FV_ERR_ARGUMENT, "%s is not set in the environment", name);
    return FV_OK;
}

static fv_err find_azure(const fv_judge_api_settings *settings, fv_buffer *out)
{
    const char *base = settings->url, *version;
    if (!base[0])
        FV_TRY(variable_of("AZURE_ENDPOINT", &base));
    FV_TRY(variable_of("AZURE_API_VERSION", &version));
    int n = (int)strlen(base);
    return fv_buffer_print(out, "%.*s/openai/deployments/%s/chat/completions?api-version=%s",
                           n > 0 && base[n - 1] == '/' ? n - 1 : n, base, settings->model, version);
}

static fv_err find_openai(const fv_judge_api_settings *settings, fv_buffer *out)
{
    const char *base = settings->url[0] ? settings->url : "https://api.openai.com/v1";
    int n = (int)strlen(base);
    return fv_buffer_print(out, "%.*s/chat/completions", base[n - 1] == '/' ? n - 1 : n, base);
}

fv_err fv_api_access_find(const fv_judge_api_settings *settings, fv_api_access *out)
{
    *out = (fv_api_access){0};
    fv_err err = settings->service == FV_API_AZURE ? find_azure(settings, &out->url)
                                                   : find_openai(settings, &out->url);
    if (err == FV_OK)
        err = find_key(settings, out);
    if (err != FV_OK)
        fv_api_access_fini(out);
    return err;
}

void fv_api_access_fini(fv_api_access *access)
{
    if (access->header.data)
        explicit_bzero(access->header.data, access->header.capacity);
    fv_buffer_fini(&access->header);
    fv_buffer_fini(&access->url);
}
