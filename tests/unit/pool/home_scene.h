#pragma once
/* home_scene: homes in a folder of the test's own, and one of them. To be included once in a
 * program. */

#include "pool/home.h"

#include "folders.h"

#define UID_BASE 70000

static Folder folder;
static Homes homes;
static Home home;
static HomeMember member;
static uid_t uid_base;

static inline int set_up(void **state) {
        uid_base = geteuid() == 0 ? UID_BASE : 0;
        folder_make(&folder);
        home = HOME_NONE;
        member = HOME_MEMBER_NONE;
        assert_int_equal(homes_open(&homes, folder.path, uid_base), 0);
        return 0;
}

static inline int tear_down(void **state) {
        home_member_close(&member);
        home_close(&homes, &home);
        homes_close(&homes);
        folder_remove(&folder);
        return 0;
}

static inline int set_up_home(void **state) {
        int r = set_up(state);

        assert_int_equal(home_make(&homes, true, &home, &member), 0);
        return r;
}
