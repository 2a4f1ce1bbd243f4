# The native tests alone, without Python: cmake -DBRENIER_NATIVE_TEST=ON (see make native-test).
find_package(Threads REQUIRED)
add_executable(native_test csrc/tests/native_test.cpp)
target_link_libraries(native_test PRIVATE brenier_cpu Threads::Threads)
target_compile_options(native_test PRIVATE -O1 -ffp-contract=off -Wall -Wextra)
