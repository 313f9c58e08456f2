#include "io/image/image_codec.h"

#include <string.h>

typedef struct tiff {
    const uint8_t *data;
    size_t size;
    int big_endian;
} tiff;

static uint32_t read_number(const tiff *t, size_t at, int n_bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < n_bytes; i++)
        value = value << 8 | t->data[at + (size_t)(t->big_endian ? i : n_bytes - 1 - i)];
    return value;
}

static int find_orientation(const tiff *t)
{
    enum { ENTRY_BYTES = 12, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4 };
    size_t at = read_number(t, 4, 4);
    if (at > t->size - 2)
        return 1;
    size_t n = read_number(t, at, 2);
    at += 2;
    for (size_t i = 0; i < n && t->size - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        uint32_t type = read_number(t, at + 2, 2);
        if (read_number(t, at, 2) != TAG_ORIENTATION || read_number(t, at + 4, 4) != 1)
            continue;
        uint32_t value = type == TYPE_SHORT  ? read_number(t, at + 8, 2)
                         : type == TYPE_LONG ? read_number(t, at + 8, 4)
                                             : 0;
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

int fv_exif_orientation(const uint8_t *data, size_t size)
{
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    if (size < 8)
        return 1;
    tiff t = {.data = data, .size = size, .big_endian = data[0] == 'M'};
    if (memcmp(data, t.big_endian ? "MM\0*" : "II*\0", 4) != 0)
        return 1;
    return find_orientation(&t);
}

/* Pixel (x, y) of the upright image lies at origin + x * step_x + y * step_y of the stored one. */
typedef struct walk {
    ptrdiff_t origin, step_x, step_y;
} walk;

static walk walk_of(int orientation, ptrdiff_t width, ptrdiff_t height)
{
    ptrdiff_t last_row = (height - 1) * width, last = width - 1;
    switch (orientation) {
    case 2:
        return (walk){last, -1, width};
    case 3:
        return (walk){last_row + last, -1, -width};
    case 4:
        return (walk){last_row, 1, -width};
    case 5:
        return (walk){0, width, 1};
    case 6:
        return (walk){last_row, -width, 1};
    case 7:
        return (walk){last_row + last, -width, -1};
    default:
        return (walk){last, width, -1};
    }
}

fv_err fv_image_orient(fv_image *image, const char *name, int orientation)
{
    if (orientation == 1)
        return FV_OK;
    int turned = orientation >= 5;
    fv_image upright;
    FV_TRY(fv_image_init(&upright, name, turned ? image->height : image->width,
                         turned ? image->width : image->height, FV_IMAGE_MAX_PIXELS));
    walk w = walk_of(orientation, image->width, image->height);
    uint8_t *out = upright.rgb;
    for (int y = 0; y < upright.height; y++)
        for (int x = 0; x < upright.width; x++, out += 3)
            memcpy(out, image->rgb + 3 * (w.origin + x * w.step_x + y * w.step_y), 3);
    fv_image_fini(image);
    *image = upright;
    return FV_OK;
}
