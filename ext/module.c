/* The module tokenclock._speed: its types, and what it is told of Python's side. */

#include "speed.h"

static State *
state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

PyDoc_STRVAR(connect_doc,
"connect(step_raised, closed, close_failed, /)\n--\n\n"
"Say what to call when a step raises, when the caller closes, and when closing raises.");

static PyObject *
connect(PyObject *module, PyObject *arguments)
{
    State *state = state_of(module);
    PyObject *step_raised, *closed, *close_failed;
    if (!PyArg_ParseTuple(arguments, "OOO:connect", &step_raised, &closed, &close_failed)) {
        return NULL;
    }
    Py_XSETREF(state->step_raised, Py_NewRef(step_raised));
    Py_XSETREF(state->closed, Py_NewRef(closed));
    Py_XSETREF(state->close_failed, Py_NewRef(close_failed));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(steps_under_way_doc,
"steps_under_way()\n--\n\n"
"Give the runs of the streams one of whose steps is on some stack, by the id of the frame that\n"
"drives it (the innermost where one frame drives several); None if there is none.");

static PyObject *
steps_under_way(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    if (state_of(module)->under_way == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *runs = PyDict_New(); /* which may collect: the list is looked at afterwards */
    Body *body = state_of(module)->under_way;
    for (; runs != NULL && body != NULL; body = body->older) {
        if (body->tape->is_over) {
            continue; /* whose body runs on unmeasured, inside another's perhaps */
        }
        PyObject *frame = PyLong_FromVoidPtr(body->driver);
        if (frame == NULL || PyDict_SetDefault(runs, frame, body->run) == NULL) {
            Py_CLEAR(runs);
        }
        Py_XDECREF(frame);
    }
    return runs;
}

PyDoc_STRVAR(held_between_doc,
"held_between(stamps, begin, end, /)\n--\n\n"
"Give the sum of the requests less the sum of the arrivals, of a buffer of both in turn, for the\n"
"chunks from begin to end.");

static PyObject *
held_between(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *object;
    Py_ssize_t begin, end;
    Py_buffer stamps;
    uint64_t held = 0; /* the difference is small, whatever the sums wrap around to */
    if (!PyArg_ParseTuple(arguments, "Onn:held_between", &object, &begin, &end)
        || PyObject_GetBuffer(object, &stamps, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    Py_ssize_t count = stamps.len / (Py_ssize_t)(2 * sizeof(uint64_t));
    for (Py_ssize_t chunk = begin < 0 ? 0 : begin; chunk < end && chunk < count; chunk++) {
        uint64_t pair[2];
        memcpy(pair, (const char *)stamps.buf + chunk * (Py_ssize_t)sizeof(pair), sizeof(pair));
        held += pair[0] - pair[1];
    }
    PyBuffer_Release(&stamps);
    return PyLong_FromLongLong((int64_t)held);
}

PyDoc_STRVAR(time_of_looks_doc,
"time_of_looks(count, /)\n--\n\n"
"Give how many nanoseconds so many looks at the clock take: a token takes two.");

static PyObject *
time_of_looks(PyObject *Py_UNUSED(module), PyObject *object)
{
    long count = PyLong_AsLong(object);
    if (count == -1 && PyErr_Occurred()) {
        return NULL;
    }
    int64_t begun = monotonic_ns(), now = begun;
    for (long looks = 0; looks < count; looks++) {
        now = monotonic_ns();
    }
    return PyLong_FromLongLong(now - begun);
}

PyDoc_STRVAR(reads_doc,
"reads(clock, /)\n--\n\n"
"Whether this is the clock that the driver reads by itself: time.perf_counter_ns.");

static PyObject *
reads(PyObject *module, PyObject *clock)
{
    return PyBool_FromLong(is_our_clock(state_of(module), clock));
}

static PyMethodDef module_methods[] = {
    {"reads", reads, METH_O, reads_doc},
    {"time_of_looks", time_of_looks, METH_O, time_of_looks_doc},
    {"held_between", held_between, METH_VARARGS, held_between_doc},
    {"connect", connect, METH_VARARGS, connect_doc},
    {"steps_under_way", steps_under_way, METH_NOARGS, steps_under_way_doc},
    {NULL, NULL, 0, NULL},
};

/* Make a type and put it into the module; NULL with an exception set where that fails. */
static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base)
{
    PyTypeObject *type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type != NULL && PyModule_AddType(module, type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

/* Make the type of steps that stand in for coroutines. ``await`` asks for the slot of __next__,
 * which a coroutine does not have. */
static PyTypeObject *
add_coroutine_step(PyObject *module)
{
    PyTypeObject *type = add_type(module, &coroutine_step_spec, NULL);
    if (type != NULL && PyDict_DelItemString(type->tp_dict, "__next__") < 0) {
        Py_CLEAR(type);
    }
    return type;
}

static int
add_types(PyObject *module, State *state)
{
    return (state->tape_type = add_type(module, &tape_spec, NULL)) != NULL
        && (state->body_type = add_type(module, &body_spec, NULL)) != NULL
        && (state->iterator_type = add_type(module, &iterator_spec, state->body_type)) != NULL
        && (state->generator_type = add_type(module, &generator_spec, state->body_type)) != NULL
        && (state->async_iterator_type =
                add_type(module, &async_iterator_spec, state->body_type)) != NULL
        && (state->async_generator_type =
                add_type(module, &async_generator_spec, state->body_type)) != NULL
        && (state->step_type = add_type(module, &step_spec, NULL)) != NULL
        && (state->coroutine_step_type = add_coroutine_step(module)) != NULL;
}

static int
add_names(State *state)
{
    return (state->name_read = PyUnicode_InternFromString("read")) != NULL
        && (state->name_flush = PyUnicode_InternFromString("flush")) != NULL
        && (state->name_finish = PyUnicode_InternFromString("finish")) != NULL
        && (state->completed = PyUnicode_InternFromString("completed")) != NULL
        && (state->name_stopped = PyUnicode_InternFromString("stopped")) != NULL
        && (state->name_send = PyUnicode_InternFromString("send")) != NULL
        && (state->name_throw = PyUnicode_InternFromString("throw")) != NULL
        && (state->name_close = PyUnicode_InternFromString("close")) != NULL
        && (state->name_asend = PyUnicode_InternFromString("asend")) != NULL
        && (state->name_athrow = PyUnicode_InternFromString("athrow")) != NULL
        && (state->name_aclose = PyUnicode_InternFromString("aclose")) != NULL
        && (state->in_finaliser = Py_BuildValue("(s)", "in_finaliser")) != NULL;
}

static int
add_clock(State *state)
{
    PyObject *time = PyImport_ImportModule("time");
    if (time == NULL) {
        return 0;
    }
    state->clock = PyObject_GetAttrString(time, "perf_counter_ns");
    Py_DECREF(time);
    return state->clock != NULL;
}

static int
module_exec(PyObject *module)
{
    State *state = state_of(module);
    return add_types(module, state) && add_names(state) && add_clock(state) ? 0 : -1;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = state_of(module);
    Py_VISIT(state->tape_type);
    Py_VISIT(state->body_type);
    Py_VISIT(state->iterator_type);
    Py_VISIT(state->generator_type);
    Py_VISIT(state->async_iterator_type);
    Py_VISIT(state->async_generator_type);
    Py_VISIT(state->step_type);
    Py_VISIT(state->coroutine_step_type);
    Py_VISIT(state->step_raised);
    Py_VISIT(state->closed);
    Py_VISIT(state->close_failed);
    Py_VISIT(state->clock);
    return 0;
}

static int
module_clear(PyObject *module)
{
    State *state = state_of(module);
    Py_CLEAR(state->step_raised);
    Py_CLEAR(state->closed);
    Py_CLEAR(state->close_failed);
    Py_CLEAR(state->tape_type);
    Py_CLEAR(state->body_type);
    Py_CLEAR(state->iterator_type);
    Py_CLEAR(state->generator_type);
    Py_CLEAR(state->async_iterator_type);
    Py_CLEAR(state->async_generator_type);
    return 0;
}

/* Names, clock and the types of steps are there as long as the module: streams may outlive a
 * collection that takes the rest. */
static void
module_free(void *module)
{
    State *state = state_of(module);
    (void)module_clear(module);
    clear_free_steps(state);
    Py_CLEAR(state->step_type);
    Py_CLEAR(state->coroutine_step_type);
    Py_CLEAR(state->clock);
    Py_CLEAR(state->name_read);
    Py_CLEAR(state->name_flush);
    Py_CLEAR(state->name_finish);
    Py_CLEAR(state->completed);
    Py_CLEAR(state->name_stopped);
    Py_CLEAR(state->name_send);
    Py_CLEAR(state->name_throw);
    Py_CLEAR(state->name_close);
    Py_CLEAR(state->name_asend);
    Py_CLEAR(state->name_athrow);
    Py_CLEAR(state->name_aclose);
    Py_CLEAR(state->in_finaliser);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(module_doc, "The compiled driver of measured streams; see tokenclock._driver.");

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tokenclock._speed",
    .m_doc = module_doc,
    .m_size = sizeof(State),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__speed(void)
{
    return PyModuleDef_Init(&module_definition);
}
