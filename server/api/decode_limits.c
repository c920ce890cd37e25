/* decode_limits: the part of decode.h that knows what a template allows. */

#include "server/api/decode.h"

#include <stdio.h>

static bool fail_template(Reader *reader, const DecodeContext *context) {
        char names[READER_TEXT_MAX] = "";
        size_t used = 0;

        for (size_t i = 0; i < context->n_templates && used < sizeof(names); i++)
                used += (size_t) snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
                                          context->templates[i].name);
        return reader_fail(reader, 422, "template",
                           "There is no template of this name; there are: %s.", names);
}

bool decode_template(Reader *reader, const DecodeContext *context, const JsonItem *item,
                     unsigned *ret_template) {
        Slice name;

        *ret_template = context->standard_template;
        if (item->value.size == 0)
                return true;
        if (!reader_text(reader, item, "template", &name))
                return false;
        for (size_t i = 0; i < context->n_templates; i++) {
                if (slice_equals(name, context->templates[i].name)) {
                        *ret_template = (unsigned) i;
                        return true;
                }
        }
        return fail_template(reader, context);
}

typedef struct LimitsTarget {
        const TemplateConfig *template;
        RunLimits *limits;
} LimitsTarget;

static bool read_limit(Reader *reader, LimitsTarget *target, Limit limit, const JsonItem *item) {
        const LimitInfo *info = &limit_infos[limit];
        uint64_t number;

        if (limit == LIMIT_PROCESSES && !target->template->subprocesses) {
                if (!reader_whole_number(reader, item, info->name, info->minimum, UINT64_MAX,
                                         &number))
                        return false;
                if (number > 1)
                        return reader_fail(reader, 422, info->name,
                                           "The template \"%s\" allows no subprocesses, so this "
                                           "can only be 1.",
                                           target->template->name);
        }
        return reader_whole_number(reader, item, info->name, info->minimum,
                                   target->template->limits.maximum[limit],
                                   &target->limits->of[limit]);
}

#define DEFINE_LIMIT_READER(name, limit)                                                           \
        static bool name(Reader *reader, void *target, const JsonItem *item) {                     \
                return read_limit(reader, target, limit, item);                                    \
        }
DEFINE_LIMIT_READER(read_wall, LIMIT_WALL_MS)
DEFINE_LIMIT_READER(read_cpu, LIMIT_CPU_MS)
DEFINE_LIMIT_READER(read_memory, LIMIT_MEMORY_MB)
DEFINE_LIMIT_READER(read_output, LIMIT_OUTPUT_BYTES)
DEFINE_LIMIT_READER(read_processes, LIMIT_PROCESSES)
DEFINE_LIMIT_READER(read_disk, LIMIT_DISK_MB)

static const MemberRead limit_readers[_LIMITS] = {
        [LIMIT_WALL_MS] = read_wall,        [LIMIT_CPU_MS] = read_cpu,
        [LIMIT_MEMORY_MB] = read_memory,    [LIMIT_OUTPUT_BYTES] = read_output,
        [LIMIT_PROCESSES] = read_processes, [LIMIT_DISK_MB] = read_disk,
};

bool decode_limits(Reader *reader, const TemplateConfig *template, Slice object,
                   RunLimits *limits) {
        LimitsTarget target = {template, limits};
        Member members[_LIMITS];

        for (int i = 0; i < _LIMITS; i++)
                members[i] = (Member){limit_infos[i].name, limit_readers[i]};
        if (!reader_object(reader, object, members, _LIMITS, false, &target))
                return reader_inside(reader, "limits");
        return true;
}

bool decode_standards(Reader *reader, DecodeContext *context, const JsonItem *template,
                      const JsonItem *limits) {
        RunLimits scratch;

        if (!decode_template(reader, context, template, &context->standard_template))
                return false;
        if (limits->value.size == 0)
                return true;
        context->standard_limits = limits->value;
        return reader_expect(reader, limits, JSON_OBJECT, "limits") &&
               decode_limits(reader, &context->templates[context->standard_template], limits->value,
                             &scratch);
}
