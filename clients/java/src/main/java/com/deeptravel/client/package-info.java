/**
 * The client of DeepTravel Ticketing: deadlines, repeats where they are safe, pages, streams that go
 * on where they broke, webhooks. It begins with {@link com.deeptravel.client.DeepTravel}.
 */
package com.deeptravel.client;
