// Computing while other Python threads run.
#pragma once
#include <Python.h>

#include <chrono>
#include <thread>

namespace copytrace {

// Lets other Python threads run until it goes out of scope, as py::gil_scoped_release does. A thread that comes back
// while the interpreter is being taken down sleeps until the process has ended: Python before 3.14 ends it by unwinding
// its stack, which C++ would answer with an abort, and which would give back arrays that are not its own any more.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

}  // namespace copytrace
