#pragma once
/*
 * install: between the supervisor and the process that runs pip for one installation, over one
 * SOCK_SEQPACKET socket. It is started as
 *     hatchery-python --install --socket FD --template NAME --staging DIR [--uid N] [--index URL]
 *                     [--venv DIR] [--view PATH]... [--seconds N] [--memory-bytes N]
 *                     [--file-bytes N] [--log-level LEVEL]
 * where DIR, also inherited as INSTALL_STAGING_FD, has these folders, which it may write to:
 *     work/<number>/   wheel <number>, unpacked: what the supervisor takes over
 *     work/installed/  *.dist-info/METADATA of what the session has already: to be read
 *     tmp/             for pip
 *
 * The supervisor sends one message with the requirements, each with a NUL behind it. The answer is
 * one INSTALL_WHEEL for each wheel that is needed, and INSTALL_RESOLVED. Then the supervisor sends
 * one byte for each wheel, 1 for those that it does not have, and gets INSTALL_UNPACKED for each of
 * these, and INSTALL_FINISHED once byte code has been added to them, as far as it could be: when
 * all are unpacked, the process may as well end by itself. INSTALL_SAYS may come between any two,
 * and INSTALL_FAILED ends it.
 *
 * It has read what an index and the authors of packages have written: nothing that it says is
 * trusted beyond what it may choose anyway, which is what is in a wheel.
 */

#include <stdint.h>

#define INSTALL_STAGING_FD   4 /* the first one that is inherited */
#define INSTALL_WHEELS_MAX   256
#define INSTALL_ORDER_MAX    65536
#define INSTALL_TEXT_MAX     8192
#define INSTALL_SHA256_CHARS 64

typedef enum InstallReportKind {
        INSTALL_SAYS = 1, /* text: of pip's output */
        INSTALL_WHEEL,    /* number: 0, 1, …; text: "sha256 name version" */
        INSTALL_RESOLVED, /* number: how many */
        INSTALL_UNPACKED, /* number: of the wheel */
        INSTALL_FINISHED,
        INSTALL_FAILED, /* number: of InstallFailure; text: a sentence for the caller */
} InstallReportKind;

typedef enum InstallFailure {
        INSTALL_FAILURE_OWN = 1, /* of the process itself */
        INSTALL_FAILURE_NOT_FOUND,
        INSTALL_FAILURE_CONFLICT,
        INSTALL_FAILURE_NO_INDEX,
        INSTALL_FAILURE_BAD_WHEEL,
        INSTALL_FAILURE_TOO_LARGE,
        INSTALL_FAILURE_NO_SPACE,
        _INSTALL_FAILURES,
} InstallFailure;

typedef struct InstallReport {
        uint32_t kind; /* of InstallReportKind */
        uint32_t number;
        char text[INSTALL_TEXT_MAX]; /* NUL-terminated; only the used part is sent */
} InstallReport;

#define INSTALL_REPORT_HEAD 8
_Static_assert(__builtin_offsetof(InstallReport, text) == INSTALL_REPORT_HEAD,
               "no padding on the wire");
