#include "fovea/data/synthetic/glance.h"
#include "data/synthetic/synthetic.h"

enum {
    SIDE = 56,
    GRAIN = 2, /* pixels of a grain's edge: it stays when the image is halved */
    GRAINS = SIDE / GRAIN,
    GRAIN_DEPTH = 24, /* levels of brightness, to both sides */
    SLOPE_DEPTH = 10, /* levels from the middle to an edge, in each direction */
    COLUMNS = 5,      /* dots of a digit */
    LINES = 7,
    SMALL_CELL = 14,
    LARGE_CELL = 28,
    LARGE_SCALE = 4 /* pixels of a dot */
};

/* A bit a dot, the left one first. */
static const uint8_t dots[10][LINES] = {
    {0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}, {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e},
    {0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f}, {0x1e, 0x01, 0x01, 0x0e, 0x01, 0x01, 0x1e},
    {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}, {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e},
    {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}, {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08},
    {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}, {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}};

typedef struct look {
    fv_draws draws;
    int digit, is_small;
    int x, y; /* of the upper left dot */
    int ink[3], ground[3];
    float slope_x, slope_y;
} look;

static void draw_position(look *l)
{
    int cell = l->is_small ? SMALL_CELL : LARGE_CELL, scale = l->is_small ? 1 : LARGE_SCALE;
    int last = SIDE / cell - 1;
    l->x = cell * fv_draw(&l->draws, 0, last) + (cell - scale * COLUMNS) / 2;
    l->y = cell * fv_draw(&l->draws, 0, last) + (cell - scale * LINES) / 2;
}

static look draw_look(uint64_t seed, uint64_t number)
{
    look l = {.draws = fv_draws_of(seed, FV_DRAW_LOOK, number),
              .is_small = fv_synthetic_is_small(seed, number)};
    l.digit = fv_draw(&l.draws, 0, 9);
    draw_position(&l);
    for (int c = 0; c < 3; c++) {
        l.ink[c] = fv_draw(&l.draws, 0, 80);
        l.ground[c] = fv_draw(&l.draws, 170, 230);
    }
    l.slope_x = (float)fv_draw(&l.draws, -SLOPE_DEPTH, SLOPE_DEPTH);
    l.slope_y = (float)fv_draw(&l.draws, -SLOPE_DEPTH, SLOPE_DEPTH);
    return l;
}

static float dot(int digit, int column, int line)
{
    int is_inside = column >= 0 && column < COLUMNS && line >= 0 && line < LINES;
    return is_inside ? (float)(dots[digit][line] >> (COLUMNS - 1 - column) & 1) : 0;
}

/* How much ink, 0 to 1, lies at a place given in dots: between the centres of dots, weighted by distance and
 * then sharpened, which rounds corners. */
static float ink_at(int digit, float column, float line)
{
    int c = (int)(column + 1) - 1, r = (int)(line + 1) - 1; /* rounds down from -1 on */
    float x = column - (float)c, y = line - (float)r;
    float above = (1 - x) * dot(digit, c, r) + x * dot(digit, c + 1, r);
    float below = (1 - x) * dot(digit, c, r + 1) + x * dot(digit, c + 1, r + 1);
    float ink = 3 * ((1 - y) * above + y * below - 0.5f) + 0.5f;
    return ink < 0 ? 0 : ink > 1 ? 1 : ink;
}

static float ink_of_pixel(const look *l, int x, int y)
{
    float scale = l->is_small ? 1 : LARGE_SCALE;
    float column = ((float)(x - l->x) + 0.5f) / scale - 0.5f,
          line = ((float)(y - l->y) + 0.5f) / scale - 0.5f;
    if (column <= -1 || line <= -1 || column >= COLUMNS || line >= LINES)
        return 0;
    return ink_at(l->digit, column, line);
}

static void draw_grain(uint64_t seed, uint64_t number, float grain[GRAINS * GRAINS])
{
    fv_rng_key key = fv_draws_of(seed, FV_DRAW_GRAIN, number).key;
    for (uint32_t i = 0; i < GRAINS * GRAINS; i++)
        grain[i] = (2 * fv_rng_uniform(key, i) - 1) * GRAIN_DEPTH;
}

static void paint(const look *l, const float *grain, uint8_t *rgb)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            float ink = ink_of_pixel(l, x, y), light = grain[y / GRAIN * GRAINS + x / GRAIN];
            light += l->slope_x * (float)(2 * x - SIDE) / SIDE + l->slope_y * (float)(2 * y - SIDE) / SIDE;
            for (int c = 0; c < 3; c++) {
                float level = (float)l->ground[c] + light + ink * (float)(l->ink[c] - l->ground[c]);
                *rgb++ = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level + 0.5f);
            }
        }
}

fv_err fv_glance_row(uint64_t seed, uint64_t number, fv_row *out)
{
    float grain[GRAINS * GRAINS];
    uint8_t rgb[SIDE * SIDE * 3];
    const fv_image image = {.rgb = rgb, .width = SIDE, .height = SIDE};
    look l = draw_look(seed, number);
    const char answer[] = {(char)('0' + l.digit), '\0'};
    draw_grain(seed, number, grain);
    paint(&l, grain, rgb);
    return fv_synthetic_row(&(fv_synthetic_texts){"Which digit?", answer, "glance", l.is_small}, &image, out);
}
