/* Prints the sample of the settings or, with an argument, the manual: `make settings` writes both files with it. */
#include <stdio.h>

#include "core/conf.h"

int main(int argc, char **argv)
{
    struct buf out CLEANUP(buf_release) = BUF_INIT(1 << 20);

    (void)argv;
    if (argc > 1)
        conf_manual(&out);
    else
        conf_sample(&out);
    return out.failed || fwrite(out.ptr, 1, out.len, stdout) != out.len;
}
