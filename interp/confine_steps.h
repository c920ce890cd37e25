#pragma once
/*
 * confine_steps: the functions of the list in confine.c, by the file that each is in. All return 0
 * or -errno. Those of a layer are only called when it is to be taken.
 */

#include "interp/confine.h"

static inline bool confine_takes(const Confinement *confinement, Layer layer) {
        return confinement->command->layers & layer_bit(layer);
}

/* --- confine_limits.c --- */
int confine_limits_prepare(void);
int confine_limits_take(Confinement *confinement);

int confine_oom_score_prepare(void);
/* In the zygote, around a fork: its own score is what the worker inherits. */
int confine_oom_score_raise(void);
int confine_oom_score_lower(void);
int confine_oom_score_check(Confinement *confinement);

/* --- confine_namespaces.c --- */
int confine_namespaces_prepare(void);
/* In the zygote: where the next child is born; -1: where the zygote is. */
int confine_pid_namespace_choose(int fd);
int confine_pid_namespace_check(Confinement *confinement);
int confine_shared_namespaces_check(Confinement *confinement);
int confine_user_namespace_enter(Confinement *confinement);
int confine_mount_namespace_enter(Confinement *confinement);
int confine_cgroup_enter(Confinement *confinement);
int confine_core_scheduling_take(Confinement *confinement);

/* --- confine_identity.c --- */
/* In the zygote, before a fork: drops its own, which is what the worker inherits. */
void confine_bounding_set_inherit(void);
int confine_bounding_set_drop(Confinement *confinement);
int confine_securebits_lock(Confinement *confinement);
int confine_identity_take(Confinement *confinement);
int confine_capabilities_drop(Confinement *confinement);
int confine_identity_check(Confinement *confinement);
int confine_no_new_privileges_take(Confinement *confinement);
int confine_not_dumpable_take(Confinement *confinement);
/* Where that layer is not to be taken: the zygote is not dumpable, and a fork inherits that. */
int confine_not_dumpable_leave(Confinement *confinement);

/* --- confine_landlock.c --- */
int confine_landlock_prepare(const ViewOptions *view);
/* Leaves the network alone; after the preparation, for the process that loads packages. */
void confine_landlock_allow_network(void);
int confine_landlock_take(Confinement *confinement);
/* Whether the rules are asked before a file is cut by its path: from the third version on (6.2). */
bool confine_landlock_guards_sizes(void);
/* 0 where there is no Landlock, too. */
int confine_landlock_copy(const Confinement *confinement, const CopyPlaces *places);

/* --- confine_copy.c --- */
/* Before the filter of system calls, and beneath it. */
int confine_session_attempts(Confinement *confinement);
/* For every member of a home but the first; beneath the filter of system calls, too. */
int confine_attributes_of_others(void);

/* --- confine.c --- */
int confine_die_with_supervisor(const Confinement *confinement);
