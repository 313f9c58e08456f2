/* Rows of F32 or BF16 as fp32: F32 is read and written in place, BF16 is widened into a room of the caller's
 * and rounded from it. Local. */
#ifndef FOVEA_KERNELS_CPU_ROWS_H
#define FOVEA_KERNELS_CPU_ROWS_H

#include "cpu.h"
#include "vec.h"

static inline __attribute__((unused)) void widen(const uint16_t *restrict from, int64_t n, float *restrict to)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(to + i, &bits, sizeof bits);
    }
}

/* To nearest, ties to even; NaN stays NaN. */
static inline __attribute__((unused)) void narrow(const float *restrict from, int64_t n,
                                                  uint16_t *restrict to)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, sizeof bits);
        uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, nan = bits >> 16 | 0x40u;
        to[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
}

static inline uint16_t *fv_bf16(fv_tensor t)
{
    return t.data;
}

/* Elements [at, at + n) of a tensor's memory as fp32; room for n is used unless they are that already. */
static inline const float *read_row(fv_tensor t, int64_t at, int64_t n, float *room)
{
    if (t.dtype == FV_F32)
        return fv_f32(t) + at;
    widen(fv_bf16(t) + at, n, room);
    return room;
}

/* Where to compute them, before write_row puts them there. */
static inline float *row_for(fv_tensor t, int64_t at, float *room)
{
    return t.dtype == FV_F32 ? fv_f32(t) + at : room;
}

static inline void write_row(fv_tensor t, int64_t at, int64_t n, const float *from)
{
    if (t.dtype != FV_F32)
        narrow(from, n, fv_bf16(t) + at);
}

/* What works element by element is cut into pieces of rows. */
enum { PIECE = 4096 };
typedef struct piece {
    int64_t row, first, n;
} piece;

static inline int64_t n_pieces(fv_tensor shape)
{
    return (fv_tensor_row_count(shape) + PIECE - 1) / PIECE * shape.dim[0];
}

static inline piece piece_at(fv_tensor shape, int64_t i)
{
    int64_t row = fv_tensor_row_count(shape), pieces = (row + PIECE - 1) / PIECE;
    int64_t first = i % pieces * PIECE;
    return (piece){i / pieces, first, row - first < PIECE ? row - first : PIECE};
}

static inline const float *read_piece(fv_tensor t, piece p, float *room)
{
    return read_row(t, p.row * t.stride + p.first, p.n, room);
}

static inline float *piece_for(fv_tensor t, piece p, float *room)
{
    return row_for(t, p.row * t.stride + p.first, room);
}

static inline void write_piece(fv_tensor t, piece p, const float *from)
{
    write_row(t, p.row * t.stride + p.first, p.n, from);
}

/* Rooms of a thread for pieces. */
typedef float piece_room[PIECE];
static inline piece_room *rooms(const fv_backend *backend)
{
    return fv_cpu_scratch(backend, fv_cpu_thread());
}

#endif
