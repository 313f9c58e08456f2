#include "fovea/io/versions.h"

#include <curl/curl.h>
#include <hdf5.h>
#include <jansson.h>
#include <jpeglib.h>
#include <png.h>
#include <utf8proc.h>
#include <webp/decode.h>
#include <xxhash.h>
#include <yaml.h>

#include <stdarg.h>
#include <stdio.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static void print(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void print(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out, size, format, args);
    va_end(args);
}

#define FOUND(v, ...) print((v)->found, sizeof(v)->found, __VA_ARGS__)
#define BUILT(v, ...) print((v)->built_with, sizeof(v)->built_with, __VA_ARGS__)

static void hdf5_version(fv_version *v)
{
    unsigned major = 0, minor = 0, release = 0;
    if (H5get_libversion(&major, &minor, &release) >= 0)
        FOUND(v, "%u.%u.%u", major, minor, release);
    BUILT(v, "%d.%d.%d", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE);
    v->must_match = 1; /* the library ends the process at its first call if they differ */
}

static void jansson_version(fv_version *v)
{
    FOUND(v, "%s", jansson_version_str());
    BUILT(v, "%s", JANSSON_VERSION);
}

static void yaml_version(fv_version *v)
{
    FOUND(v, "%s", yaml_get_version_string());
}

static void curl_version_of(fv_version *v)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    FOUND(v, "%s (%s)", info->version, info->ssl_version ? info->ssl_version : "without TLS");
    BUILT(v, "%s", LIBCURL_VERSION);
}

/* The library tells its version at build time only. */
static void jpeg_version(fv_version *v)
{
    FOUND(v, "%s", TEXT(LIBJPEG_TURBO_VERSION));
}

static void png_version(fv_version *v)
{
    FOUND(v, "%s", png_get_libpng_ver(NULL));
    BUILT(v, "%s", PNG_LIBPNG_VER_STRING);
}

static void webp_version(fv_version *v)
{
    int n = WebPGetDecoderVersion();
    FOUND(v, "%d.%d.%d", n >> 16, n >> 8 & 255, n & 255);
}

static void utf8proc_version_of(fv_version *v)
{
    FOUND(v, "%s (Unicode %s)", utf8proc_version(), utf8proc_unicode_version());
}

static void xxhash_version(fv_version *v)
{
    unsigned n = XXH_versionNumber();
    FOUND(v, "%u.%u.%u", n / 10000, n / 100 % 100, n % 100);
}

size_t fv_versions_get(fv_version *out, size_t max)
{
    static const struct {
        const char *name;
        void (*get)(fv_version *);
    } libraries[] = {
        {"HDF5", hdf5_version},       {"jansson", jansson_version},      {"libyaml", yaml_version},
        {"libcurl", curl_version_of}, {"libjpeg-turbo", jpeg_version},   {"libpng", png_version},
        {"libwebp", webp_version},    {"utf8proc", utf8proc_version_of}, {"xxHash", xxhash_version}};
    size_t n = sizeof libraries / sizeof *libraries;
    for (size_t i = 0; i < n && i < max; i++) {
        out[i] = (fv_version){.name = libraries[i].name};
        libraries[i].get(&out[i]);
    }
    return n;
}
