"""The bodies that seed 003 has for each vendor: every field, none besides."""

from tools.dev.channel_simulator.shapes import (
    amount,
    count,
    currency,
    day,
    flag,
    languages,
    one_of,
    text,
    year,
)

CTRIP_CARS = {
    "cars": [
        {
            "carId": text,
            "carName": text,
            "carBrand": text,
            "carModel": text,
            "carYear": year,
            "carCategory": one_of(*["ECO", "COM", "MID", "STD", "FUL", "PRE", "LUX", "SUV", "VAN"]),
            "seatCount": count,
            "doorCount": count,
            "transmissionType": one_of("A", "M"),
            "hasAirCondition": flag,
            "fuelType": text,
            "imageUrls": [text],
            "features": [text],
        }
    ]
}
CTRIP_PRICES = {
    "prices": [
        {
            "carId": text,
            "locationId": text,
            "date": day,
            "basePrice": amount,
            "currencyCode": currency,
            "specialOffers": [
                {
                    "offerType": one_of("DISCOUNT"),
                    "offerValue": amount,
                    "description": text,
                }
            ],
        }
    ]
}
CTRIP_AVAILABILITY = {
    "availability": [
        {
            "carId": text,
            "locationId": text,
            "date": day,
            "available": flag,
            "quantity": count,
        }
    ]
}
BOOKING_RANGE = {"start_date": day, "end_date": day}
BOOKING_CARS = {
    "cars": [
        {
            "id": text,
            "name": text,
            "description": languages,
            "vehicle_info": {
                "category": one_of(
                    *["mini", "economy", "compact", "intermediate", "standard"],
                    *["fullsize", "premium", "suv", "van"],
                ),
                "make": text,
                "model": text,
                "year": year,
                "passenger_capacity": count,
                "door_count": count,
                "transmission_type": one_of("automatic", "manual"),
                "air_conditioning": flag,
            },
            "images": [{"url": text, "caption": languages}],
            "features": [{"code": text}],
        }
    ]
}
BOOKING_RATES = {
    "property_id": text,
    "rates": [
        {
            "car_id": text,
            "location_id": text,
            "date_range": BOOKING_RANGE,
            "base_rate": {"amount": amount, "currency": currency},
        }
    ],
}
BOOKING_AVAILABILITY = {
    "property_id": text,
    "availability": [
        {
            "car_id": text,
            "location_id": text,
            "date_range": BOOKING_RANGE,
            "status": one_of("available", "not_available"),
            "quantity": count,
        }
    ],
}
EXPEDIA_RANGE = {"startDate": day, "endDate": day}
EXPEDIA_VEHICLES = {
    "vehicles": [
        {
            "supplierId": text,
            "vehicleId": text,
            "name": text,
            "description": text,
            "vehicleInfo": {
                "category": one_of(
                    *["Economy", "Compact", "Midsize", "Standard", "Fullsize"],
                    *["Premium", "Luxury", "SUV", "Minivan"],
                ),
                "make": text,
                "model": text,
                "year": year,
                "passengerCapacity": count,
                "doorCount": count,
                "transmissionType": one_of("Automatic", "Manual"),
                "airConditioned": flag,
            },
            "images": [{"url": text, "category": one_of("PRIMARY")}],
            "amenities": [
                one_of(
                    *["GPS", "Bluetooth", "Sunroof", "LeatherSeats", "RearviewCamera"],
                    *["USBCharger", "Other"],
                )
            ],
        }
    ]
}
EXPEDIA_RATES = {
    "supplierId": text,
    "rates": [
        {
            "vehicleId": text,
            "locationId": text,
            "dateRange": EXPEDIA_RANGE,
            "baseRate": {"amount": amount, "currency": currency},
            "taxes": [
                {
                    "code": text,
                    "description": text,
                    "amount": amount,
                    "currency": currency,
                    "included": flag,
                }
            ],
            "fees": [text],
        }
    ],
}
EXPEDIA_AVAILABILITY = {
    "supplierId": text,
    "availability": [
        {
            "vehicleId": text,
            "locationId": text,
            "dateRange": EXPEDIA_RANGE,
            "status": one_of("Available", "Unavailable"),
            "count": count,
        }
    ],
}
