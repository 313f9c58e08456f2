/* Files that people give as images and that are not decoded. */
#include "io/image/image_codec.h"

#include <string.h>

typedef struct kind {
    size_t at; /* where the mark stands */
    const char *mark;
    const char *name;
} kind;

static const kind kinds[] = {
    {0, "version https://git-lfs.github.com/spec/",
     "a Git-LFS pointer, not the file that it stands for; fetch that with git lfs pull"},
    {4, "ftyp", "a video, not an image; take a frame out of it"},
    {0, "\x1a\x45\xdf\xa3", "a video, not an image; take a frame out of it"},
    {0, "\xff\x0a", "a JPEG XL image; convert it to PNG or JPEG"},
    {4, "JXL \r\n\x87\n", "a JPEG XL image; convert it to PNG or JPEG"},
    {4, "jP  \r\n\x87\n", "a JPEG 2000 image; convert it to PNG or JPEG"},
    {0, "\xff\x4f\xff\x51", "a JPEG 2000 image; convert it to PNG or JPEG"},
    {0, "%PDF-", "a PDF document; render its pages as PNG"},
    {0, "8BPS", "a Photoshop document; convert it to PNG"},
    {0, "PK\x03\x04", "a zip archive, not an image; unpack it"},
    {0, "\x1f\x8b", "compressed with gzip; unpack it"},
    {0, "<svg", "an SVG drawing; render it as PNG"},
    {0, "<?xml", "an XML document, maybe an SVG drawing; render it as PNG"},
    {0, "<!DOCTYPE html", "a web page, not an image: was it downloaded without a login?"},
    {0, "<!doctype html", "a web page, not an image: was it downloaded without a login?"},
    {0, "<html", "a web page, not an image: was it downloaded without a login?"},
};

/* Brands of the ISO container that many formats share; the first of these that a file has names it. */
static const kind brands[] = {
    {0, "avif", "an AVIF image; convert it to PNG or JPEG"},
    {0, "avis", "an AVIF image; convert it to PNG or JPEG"},
    {0, "hei", "a HEIC image; convert it to PNG or JPEG"},
    {0, "hev", "a HEIC image; convert it to PNG or JPEG"},
    {0, "mif1", "a HEIF image; convert it to PNG or JPEG"},
    {0, "msf1", "a HEIF image; convert it to PNG or JPEG"},
    {0, "crx ", "a raw photograph; convert it to PNG or JPEG"},
};

static int has_brand(const uint8_t *data, size_t size, const char *brand)
{
    size_t box = (size_t)data[2] << 8 | data[3]; /* no list of brands is longer */
    for (size_t at = 8; at + 4 <= box && at + 4 <= size; at += 4)
        if (memcmp(data + at, brand, strlen(brand)) == 0)
            return 1;
    return 0;
}

const char *fv_image_kind(const uint8_t *data, size_t size)
{
    int is_iso = size >= 12 && memcmp(data + 4, "ftyp", 4) == 0;
    for (size_t i = 0; is_iso && i < sizeof brands / sizeof *brands; i++)
        if (has_brand(data, size, brands[i].mark))
            return brands[i].name;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(kinds[i].mark);
        if (size >= kinds[i].at + n && memcmp(data + kinds[i].at, kinds[i].mark, n) == 0)
            return kinds[i].name;
    }
    return NULL;
}
