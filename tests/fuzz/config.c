/* A configuration of training from anywhere: one that is accepted prints as one that reads the same again,
 * and the checks of what concerns several keys come to an end. The keys that have no default come first. */
#include "fovea/base/buffer.h"
#include "fovea/run/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char start[] = "model: m\nout: o\nprompts: p\nsteps: 9\ndata: {train: t}\n";
static int file = -1;

static void expect(int holds)
{
    if (!holds)
        __builtin_trap();
}

static fv_err read_text(const char *text, size_t size, fv_train_config *out)
{
    char path[32];
    if (file < 0)
        file = memfd_create("config", 0);
    expect(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, text, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return fv_settings_read(&fv_train_settings, path, NULL, 0, out);
}

static void check_again(const fv_train_config *config)
{
    fv_buffer text = {0}, again = {0};
    fv_train_config read;
    expect(fv_settings_print(&fv_train_settings, config, 1, &text) == FV_OK);
    expect(read_text(text.data, text.size, &read) == FV_OK);
    expect(fv_settings_print(&fv_train_settings, &read, 1, &again) == FV_OK);
    expect(text.size == again.size && memcmp(text.data, again.data, text.size) == 0);
    fv_settings_fini(&fv_train_settings, &read);
    fv_buffer_fini(&text);
    fv_buffer_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fv_buffer text = {0};
    fv_train_config config;
    expect(fv_buffer_append(&text, start, strlen(start)) == FV_OK);
    expect(fv_buffer_append(&text, data, size) == FV_OK);
    fv_err err = read_text(text.data, text.size, &config);
    fv_buffer_fini(&text);
    if (err != FV_OK)
        return 0;
    for (int n_ranks = 1; n_ranks <= 8; n_ranks *= 2) {
        (void)fv_train_config_check(&config, n_ranks);
        (void)fv_sft_config_check(&config, n_ranks);
        (void)fv_select_config_check(&config, n_ranks);
    }
    check_again(&config);
    fv_settings_fini(&fv_train_settings, &config);
    return 0;
}
