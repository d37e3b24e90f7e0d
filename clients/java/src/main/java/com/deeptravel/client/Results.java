package com.deeptravel.client;

import java.util.Iterator;

/**
 * What a stream brings. Close it if you leave before its end, so that the server stops too; {@code
 * next} and {@code hasNext} throw {@link CallException}.
 *
 * @param <T> the class of the answers
 */
public interface Results<T> extends Iterator<T>, Iterable<T>, AutoCloseable {
  @Override
  default Iterator<T> iterator() {
    return this;
  }

  @Override
  void close();
}
