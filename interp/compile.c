#include "interp/compile.h"

#include <string.h>

#include "interp/compat.h"
#include "interp/last_statement.h"
#include "interp/runtime.h"

void compiled_source_done(CompiledSource *compiled) {
        Py_CLEAR(compiled->body);
        Py_CLEAR(compiled->last);
}

static PyObject *compile_text(const char *text, int start, PyCompilerFlags *flags) {
        return Py_CompileStringObject(text, runtime_source_name(), start, flags, -1);
}

/* Everything before the last statement, by itself. */
static int compile_head(const char *text, size_t size, PyCompilerFlags *flags,
                        PyObject **ret_code) {
        _pyowned_ PyObject *head = PyBytes_FromStringAndSize(text, (Py_ssize_t) size);

        if (!head)
                return -1;
        *ret_code = compile_text(PyBytes_AS_STRING(head), Py_file_input, flags);
        return *ret_code ? 0 : -1;
}

/* The last statement, behind as many empty lines as there are lines before it, so that its line
 * numbers are true. */
static PyObject *compile_tail(const char *text, size_t n_lines, int start, PyCompilerFlags *flags) {
        size_t size = strlen(text);
        _pyowned_ PyObject *tail = NULL;

        if (n_lines == 0)
                return compile_text(text, start, flags);
        tail = PyBytes_FromStringAndSize(NULL, (Py_ssize_t) (n_lines + size));
        if (!tail)
                return NULL;
        memset(PyBytes_AS_STRING(tail), '\n', n_lines);
        memcpy(PyBytes_AS_STRING(tail) + n_lines, text, size);
        return compile_text(PyBytes_AS_STRING(tail), start, flags);
}

/*
 * Compiles what stands before the last statement, and the last statement, each as a program of its
 * own, and so proves the guess where that begins: a text that compiles by itself ends at the end of
 * a statement, with no bracket, string or continuation open, and what begins in column 0 after it
 * and compiles by itself is no `else` of it. Run one after the other they do what the whole does;
 * flags hands `from __future__ import` on.
 */
static int compile_halves(const char *text, const LastStatement *last,
                          CompiledSource *ret_compiled) {
        _cleanup_(compiled_source_done) CompiledSource compiled = {0};
        PyCompilerFlags flags = {PyCF_IGNORE_COOKIE | PyCF_SOURCE_IS_UTF8, PY_MINOR_VERSION};
        PyObject *code;

        if (last->offset > 0 && compile_head(text, last->offset, &flags, &compiled.body) < 0)
                return -1;
        code = compile_tail(text + last->offset, last->n_lines_before,
                            last->kind == LAST_IS_EXPRESSION ? Py_eval_input : Py_file_input,
                            &flags);
        if (!code)
                return -1;
        *ret_compiled = (CompiledSource){take_ptr(compiled.body), code};
        return 0;
}

static int compile_whole(const char *text, CompiledSource *ret_compiled) {
        PyCompilerFlags flags = {PyCF_IGNORE_COOKIE | PyCF_SOURCE_IS_UTF8, PY_MINOR_VERSION};

        ret_compiled->body = compile_text(text, Py_file_input, &flags);
        return ret_compiled->body ? 0 : -1;
}

static int compile_by_ast(PyObject *source, CompiledSource *ret_compiled) {
        _pyowned_ PyObject *halves = runtime_call_one(RUNTIME_COMPILE_IN_TWO, source);
        PyObject *body, *last;

        if (!halves || !PyArg_ParseTuple(halves, "OO", &body, &last))
                return -1;
        ret_compiled->body = body == Py_None ? NULL : Py_NewRef(body);
        ret_compiled->last = last == Py_None ? NULL : Py_NewRef(last);
        return 0;
}

int compile_source(PyObject *source, bool want_value, CompiledSource *ret_compiled) {
        LastStatement last;
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(source, &size);

        if (!text)
                return -1;
        /* As compile() has it from 3.12 on; the C function would stop at the NUL and run the
         * beginning. */
        if (memchr(text, 0, (size_t) size)) {
                PyErr_SetString(PyExc_SyntaxError, "source code cannot contain null bytes");
                return -1;
        }
        if (!want_value)
                return compile_whole(text, ret_compiled);

        last = find_last_statement(text, (size_t) size);
        if (last.kind == LAST_IS_STATEMENT && last.offset == 0)
                return compile_whole(text, ret_compiled);
        if (last.kind != LAST_IS_UNSURE) {
                if (compile_halves(text, &last, ret_compiled) == 0)
                        return 0;
                PyErr_Clear();
        }
        /* Also what does not compile: it shall be refused as the whole that it is. */
        return compile_by_ast(source, ret_compiled);
}
