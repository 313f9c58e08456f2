#include "fovea/base/text/shown.h"

#include "fovea/base/text/utf8.h"

#include <stdio.h>
#include <string.h>

/* Controls of ASCII and of ISO 6429, ends of lines and paragraphs, and marks that turn the direction of text.
 */
static int is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || code == 0x200E ||
           code == 0x200F || (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0xFEFF;
}

static void escape(uint32_t code, char out[FV_SHOWN_BYTES])
{
    static const char named[] = "\n\t\r", letters[] = "ntr";
    const char *at = code && code < 0x80 ? strchr(named, (int)code) : NULL;
    if (at)
        snprintf(out, FV_SHOWN_BYTES, "\\%c", letters[at - named]);
    else
        snprintf(out, FV_SHOWN_BYTES, code < 0x80 ? "\\x%02x" : "\\u%04x", code & 0xFFFF);
}

size_t fv_shown_next(const char *text, size_t size, int keeps_lines, char out[FV_SHOWN_BYTES])
{
    uint32_t code = 0;
    int n = fv_utf8_decode(text, size, &code);
    if (n == 0)
        return 0;
    if (n < 0) {
        snprintf(out, FV_SHOWN_BYTES, "\\x%02x", (unsigned char)*text);
        return 1;
    }
    int stays = !is_control(code) || (keeps_lines && (code == '\n' || code == '\t'));
    if (stays)
        snprintf(out, FV_SHOWN_BYTES, "%.*s", n, text);
    else
        escape(code, out);
    return (size_t)n;
}

void fv_shown_line(const char *text, char *out, size_t size)
{
    char one[FV_SHOWN_BYTES];
    size_t left = strlen(text), used = 0, length;
    for (size_t n; left > 0 && (n = fv_shown_next(text, left, 0, one)) > 0; text += n, left -= n) {
        length = strlen(one);
        if (used + length + 1 > size)
            break;
        memcpy(out + used, one, length);
        used += length;
    }
    out[used] = '\0';
}
