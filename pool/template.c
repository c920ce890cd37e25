#include "pool/template.h"

#include <assert.h>
#include <string.h>

#include "kit/cleanup.h"

static const char *const names[_RECYCLES] = {
        [RECYCLE_FRESH] = "fresh",
        [RECYCLE_RESET] = "reset",
};

const char *recycle_name(Recycle recycle) {
        assert(recycle < _RECYCLES);
        return names[recycle];
}

Recycle recycle_by_name(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                if (strcmp(name, names[i]) == 0)
                        return (Recycle) i;
        }
        return _RECYCLES;
}
