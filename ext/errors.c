/* What steps tell the run when they do not give a chunk. */

#include "speed.h"

PyObject *
take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
#endif
}

void
give_exception(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    if (error == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

PyObject *
stop_iteration_with(PyObject *value)
{
    if (value == Py_None) {
        PyErr_SetNone(PyExc_StopIteration);
        return NULL;
    }
    /* Called, since a tuple would be taken for the arguments and an exception for itself. */
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

/* Go on raising *error*; an interrupt that came while the run was told wins, as in an except block,
 * a failure of ours does not. */
static void
raise_again(PyObject *error, PyObject *told)
{
    if (told != NULL) {
        Py_DECREF(told);
        give_exception(error);
        return;
    }
    PyObject *newer = take_exception();
    if (PyErr_GivenExceptionMatches(newer, PyExc_Exception)) {
        Py_DECREF(newer);
        give_exception(error);
        return;
    }
    PyObject *context = PyException_GetContext(newer);
    if (error != NULL && error != newer && context == NULL) {
        PyException_SetContext(newer, Py_NewRef(error));
    }
    Py_XDECREF(context);
    Py_XDECREF(error);
    give_exception(newer);
}

PyObject *
stamp_or_none(int64_t stamp)
{
    return stamp == NOT_ASKED ? Py_NewRef(Py_None) : PyLong_FromLongLong(stamp);
}

void
step_exhausted(Body *self, const Request *request)
{
    Tape *tape = self->tape;
    int64_t ended = monotonic_ns();
    PyObject *error = take_exception();
    if (tape->clock != NULL && (ended = called_clock_ns(tape)) < 0) {
        raise_again(error, NULL);
        return;
    }
    tape->requested = request->under_way;
    if (tape->is_over) {
        give_exception(error);
        return;
    }
    PyObject *requested_ns = PyLong_FromLongLong(request->requested);
    PyObject *ended_ns = PyLong_FromLongLong(ended);
    PyObject *told = NULL;
    if (requested_ns != NULL && ended_ns != NULL) {
        PyObject *arguments[] = {self->run, tape->state->completed, ended_ns, requested_ns};
        told = PyObject_VectorcallMethod(
            tape->state->name_finish, arguments, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    Py_XDECREF(requested_ns);
    Py_XDECREF(ended_ns);
    raise_again(error, told);
}

void
step_failed(Body *self, const Request *request, PyObject *stop, int was_thrown)
{
    Tape *tape = self->tape;
    PyObject *callback = tape->state->step_raised;
    int64_t ended = monotonic_ns();
    PyObject *error = take_exception();
    if (tape->clock != NULL && (ended = called_clock_ns(tape)) < 0) {
        raise_again(error, NULL);
        return;
    }
    if (callback == NULL) { /* the interpreter takes its modules down */
        tape->requested = request->under_way;
        give_exception(error);
        return;
    }
    PyObject *requested_ns = PyLong_FromLongLong(request->requested);
    PyObject *under_way_ns = stamp_or_none(request->under_way);
    PyObject *ended_ns = PyLong_FromLongLong(ended);
    PyObject *told = NULL;
    if (requested_ns != NULL && under_way_ns != NULL && ended_ns != NULL) {
        PyObject *arguments[] = {
            (PyObject *)self, error, requested_ns, under_way_ns, stop,
            was_thrown ? Py_True : Py_False, ended_ns,
        };
        told = PyObject_Vectorcall(callback, arguments, 7, NULL);
    }
    Py_XDECREF(requested_ns);
    Py_XDECREF(under_way_ns);
    Py_XDECREF(ended_ns);
    raise_again(error, told);
}

int
tell_closed(Body *self)
{
    PyObject *callback = self->tape->state->closed;
    if (self->tape->is_over || callback == NULL) {
        return 0;
    }
    PyObject *told = PyObject_CallOneArg(callback, (PyObject *)self);
    Py_XDECREF(told);
    return told == NULL ? -1 : 0;
}

void
tell_close_failed(Body *self)
{
    PyObject *callback = self->tape->state->close_failed;
    PyObject *error = take_exception();
    if (callback == NULL) {
        give_exception(error);
        return;
    }
    PyObject *arguments[] = {(PyObject *)self, error};
    raise_again(error, PyObject_Vectorcall(callback, arguments, 2, NULL));
}
