"""What the shop sells: product types in categories in departments, and what goes with what."""

# ruff: noqa: E501  (the table reads better in whole rows)

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMPLEMENTS", "DEPARTMENTS", "PRODUCT_TYPES", "ProductType"]


@dataclass(frozen=True, kw_only=True)
class ProductType:
    """One kind of product.

    Synonyms are words shoppers use that no title carries; `slang` is a word of this shop's own customers that
    no dictionary knows: only clicks tell what it means.
    """

    department: str
    category: str
    name: str
    synonyms: tuple[str, ...]
    price: float
    materials: tuple[str, ...]
    attributes: tuple[str, ...]
    size: str
    tags: tuple[str, ...]
    slang: str


# category | name | synonyms | median price | materials | attributes | size kind | tags | slang
_TABLES = {
    "Furniture": """
Seating | Sofa | couch, settee | 720 | Linen, Velvet, Leather, Corduroy | Two-Seater, Three-Seater, Corner, Convertible | width | cosy, flat | lounko
Seating | Armchair | recliner, easy seat | 310 | Linen, Velvet, Leather, Rattan | Swivel, High-Back, Upholstered, Scandinavian | width | cosy, flat, reader |
Tables | Dining Table | dinner furniture, family meal furniture | 480 | Oak, Walnut, Pine, Glass | Extendable, Round, Rectangular, Rustic | width | hosting, flat |
Tables | Coffee Table | low lounge furniture | 190 | Oak, Walnut, Marble, Glass | Round, Nesting, Rustic, Minimalist | width | cosy, flat | tavlo
Bedroom | Bed Frame | bedstead, sleeping platform | 430 | Oak, Pine, Steel, Velvet | Double, Single, King-Size, Upholstered | bed | sleep, flat |
Bedroom | Mattress | sleep pad, orthopaedic topper | 380 | Latex, Foam, Wool | Firm, Medium-Firm, Soft, Cooling | bed | sleep | drumbel
Storage Furniture | Bookcase | shelving unit, library rack | 170 | Oak, Pine, Steel, Walnut | Tall, Open, Narrow, Modular | height | reader, flat, desk |
Storage Furniture | Wardrobe | closet, armoire | 520 | Oak, Pine, Steel | Sliding-Door, Mirrored, Two-Door, Modular | height | flat |
Lamps | Floor Lamp | standing light, torchiere | 120 | Steel, Brass, Bamboo, Linen | Dimmable, Arched, Tripod, Adjustable | height | cosy, reader | glimbo
Lamps | Bedside Lamp | night light, nightstand lantern | 55 | Ceramic, Brass, Glass, Linen | Dimmable, Touch, Rechargeable, Vintage | height | sleep, cosy, reader |
Home Textiles | Throw Blanket | plaid, warm coverlet | 60 | Wool, Cotton, Fleece, Cashmere | Knitted, Fringed, Heated, Oversized | width | cosy, winter | wuffel
Home Textiles | Cushion | pillow, padded headrest | 28 | Linen, Velvet, Cotton, Wool | Square, Embroidered, Outdoor, Quilted | width | cosy |
Floors and Windows | Rug | carpet, floor covering | 160 | Wool, Jute, Cotton, Polyester | Woven, Shaggy, Round, Washable | width | cosy, flat |
Floors and Windows | Curtains | drapes, window covering | 70 | Linen, Velvet, Cotton, Polyester | Blackout, Sheer, Thermal, Pleated | height | sleep, flat |
""",
    "Kitchen": """
Cookware | Frying Pan | skillet, egg fryer | 48 | Cast Iron, Stainless Steel, Aluminium, Copper | Non-Stick, Induction, Deep, Oven-Safe | diameter | cook | brutzo
Cookware | Casserole Pot | dutch oven, stew cooker | 95 | Cast Iron, Stainless Steel, Ceramic | Enamelled, Induction, Oval, Lidded | diameter | cook, hosting |
Knives and Cutlery | Chef Knife | kitchen blade, vegetable cutter | 70 | Stainless Steel, Damascus Steel, Ceramic | Forged, Japanese, Serrated, Balanced | length | cook | skarv
Knives and Cutlery | Cutlery Set | silverware, flatware | 85 | Stainless Steel, Brass | Polished, Matte, Dishwasher-Safe, Hammered | pieces | hosting, flat |
Drinkware | Mug | coffee cup, tea beaker | 16 | Ceramic, Stoneware, Glass, Porcelain | Handmade, Insulated, Stackable, Large | volume | cosy, desk, coffee |
Drinkware | Wine Glasses | stemware, goblets | 42 | Crystal, Glass | Stemmed, Stemless, Hand-Blown, Tall | pieces | hosting |
Tableware | Dinner Plates | dishes, crockery | 58 | Stoneware, Porcelain, Bamboo | Glazed, Stackable, Rimmed, Handmade | pieces | hosting, flat |
Tableware | Serving Bowl | salad dish, fruit vessel | 34 | Stoneware, Olive Wood, Glass, Porcelain | Large, Handmade, Glazed, Shallow | diameter | hosting, cook |
Coffee and Tea | Espresso Machine | barista appliance, cappuccino brewer | 340 | Stainless Steel, Aluminium | Automatic, Manual, Compact, Dual-Boiler | volume | coffee, gadget | presslow
Coffee and Tea | Electric Kettle | tea water boiler | 49 | Stainless Steel, Glass | Cordless, Gooseneck, Quiet, Temperature-Control | volume | coffee, flat |
Kitchen Appliances | Blender | smoothie mixer, liquidiser | 92 | Glass, Stainless Steel, Plastic | High-Speed, Portable, Compact, Quiet | volume | cook, healthy | wirbo
Kitchen Appliances | Toaster | bread browner | 52 | Stainless Steel, Plastic | Two-Slice, Four-Slice, Retro, Long-Slot | volume | flat |
""",
    "Fashion": """
Tops | T-Shirt | tee, crewneck top | 24 | Cotton, Linen, Bamboo, Polyester | Slim-Fit, Oversized, Striped, V-Neck | clothes | summer |
Tops | Oxford Shirt | button-down, business blouse | 52 | Cotton, Linen, Flannel, Silk | Slim-Fit, Non-Iron, Checked, Long-Sleeve | clothes | work |
Knitwear | Sweater | pullover, jumper | 68 | Wool, Cashmere, Cotton, Merino | Roll-Neck, Crew-Neck, Cable-Knit, Oversized | clothes | winter, cosy | knorl
Knitwear | Cardigan | open front knit, buttoned woolly | 74 | Wool, Cashmere, Cotton, Merino | Cropped, Long, Belted, Chunky | clothes | winter, cosy |
Trousers | Jeans | dungarees, five-pocket pants | 72 | Denim, Organic Denim | Slim-Fit, Straight, High-Waist, Wide-Leg | clothes | student | rivno
Trousers | Chinos | casual slacks, khakis | 58 | Cotton, Linen, Corduroy | Slim-Fit, Stretch, Pleated, Straight | clothes | work, summer |
Outerwear | Rain Jacket | anorak, windbreaker | 110 | Nylon, Polyester, Waxed Cotton | Waterproof, Hooded, Packable, Lightweight | clothes | hike | plaskar
Outerwear | Winter Coat | parka, overcoat | 190 | Wool, Down, Polyester, Cashmere | Hooded, Long, Quilted, Double-Breasted | clothes | winter |
Dresses | Dress | gown, frock | 85 | Cotton, Silk, Linen, Viscose | Floral, Midi, Maxi, Wrap | clothes | summer, party |
Dresses | Skirt | kilt, bottoms for women | 48 | Denim, Cotton, Silk, Corduroy | Pleated, Midi, Mini, A-Line | clothes | summer, party |
Nightwear | Pyjamas | sleepwear, nightclothes | 44 | Cotton, Silk, Flannel, Bamboo | Striped, Short, Two-Piece, Checked | clothes | sleep, cosy |
Nightwear | Bathrobe | dressing gown, spa wrap | 59 | Cotton, Fleece, Linen, Bamboo | Hooded, Waffle, Long, Kimono | clothes | sleep, spa |
""",
    "Shoes and Bags": """
Shoes | Running Shoes | sneakers, trainers, jogging footwear | 105 | Mesh, Knit, Recycled Mesh | Cushioned, Lightweight, Trail, Breathable | shoes | runner, fit | zepple
Shoes | Ankle Boots | booties, chelseas | 130 | Leather, Suede, Vegan Leather | Lace-Up, Heeled, Waterproof, Lined | shoes | winter, party |
Summer Shoes | Sandals | flip-flops, open footwear | 55 | Leather, Cork, Rubber, Vegan Leather | Strappy, Platform, Slip-On, Cushioned | shoes | summer, beach |
Summer Shoes | Espadrilles | rope-soled slippers, holiday footwear | 48 | Canvas, Jute, Suede | Slip-On, Platform, Striped, Handmade | shoes | summer, beach |
Bags | Backpack | rucksack, knapsack | 82 | Canvas, Nylon, Leather, Recycled Polyester | Roll-Top, Waterproof, Laptop, Foldable | litres | hike, student, travel | tornik
Bags | Handbag | purse, clutch | 120 | Leather, Vegan Leather, Canvas, Suede | Crossbody, Quilted, Mini, Shoulder | none | party |
Luggage | Suitcase | trolley case, wheeled baggage | 150 | Polycarbonate, Aluminium, Nylon | Cabin-Size, Hard-Shell, Four-Wheel, Expandable | litres | travel | rollmu
Luggage | Toiletry Bag | cosmetics pouch, washbag | 29 | Canvas, Nylon, Leather | Hanging, Waterproof, Compact, Quilted | none | travel, spa |
Leather Goods | Wallet | billfold, card holder | 48 | Leather, Vegan Leather, Carbon Fibre | Slim, Zipped, Bifold, RFID-Blocking | none | work | pengo
Leather Goods | Belt | waist strap | 39 | Leather, Suede, Canvas, Vegan Leather | Braided, Reversible, Wide, Classic | clothes | work |
Jewellery and Watches | Wristwatch | timepiece, chronograph | 180 | Stainless Steel, Leather, Titanium | Automatic, Minimalist, Diver, Vintage | none | party, work |
Jewellery and Watches | Necklace | pendant, neck chain | 75 | Silver, Gold, Pearl | Layered, Delicate, Engraved, Long | length | party |
""",
    "Sports": """
Camping | Tent | camping shelter, portable outdoor house | 210 | Nylon, Polyester, Canvas | Two-Person, Four-Person, Ultralight, Pop-Up | none | camp, hike | zelpo
Camping | Sleeping Bag | outdoor bedroll, zipped quilt cocoon | 98 | Down, Polyester, Nylon | Mummy-Shaped, Three-Season, Ultralight, Double | none | camp, hike |
Hiking | Trekking Poles | walking sticks, nordic canes | 62 | Carbon Fibre, Aluminium | Foldable, Telescopic, Cork-Grip, Ultralight | length | hike |
Hiking | Headlamp | forehead torch | 38 | Plastic, Aluminium | Rechargeable, Waterproof, Ultralight, Bright | none | camp, runner, hike |
Gym | Yoga Mat | pilates pad, stretching underlay | 42 | Cork, Rubber, Jute | Non-Slip, Foldable, Extra-Thick, Travel | length | yoga, fit | matzu
Gym | Dumbbells | hand weights, barbells for home | 70 | Cast Iron, Steel, Rubber | Adjustable, Hexagonal, Coated, Compact | weight | fit |
Cycling | Bicycle Helmet | bike headgear, crash hat | 75 | Polycarbonate, Foam | Urban, Road, Ventilated, Foldable | head | bike | kopfen
Cycling | Bicycle Lock | anti-theft chain, bike security | 55 | Hardened Steel, Steel | Folding, U-Shaped, Keyed, Heavy-Duty | length | bike |
Swimming | Swimsuit | bathing costume, monokini | 48 | Recycled Nylon, Polyester | Sporty, Quick-Dry, High-Cut, Striped | clothes | beach, summer |
Swimming | Swim Goggles | underwater glasses, pool eyewear | 24 | Silicone, Polycarbonate | Anti-Fog, Mirrored, Racing, Junior | none | beach, fit |
Hydration | Water Bottle | drinking flask, canteen | 27 | Stainless Steel, Glass, Titanium, Plastic | Insulated, Leakproof, Wide-Mouth, Foldable | volume | runner, hike, fit, yoga |
Hydration | Lunch Box | bento, meal container | 25 | Stainless Steel, Bamboo, Glass | Leakproof, Insulated, Stackable, Divided | volume | student, healthy, work |
""",
    "Electronics": """
Audio | Headphones | headset, earphones | 140 | Aluminium, Plastic, Leather | Wireless, Noise-Cancelling, Over-Ear, Foldable | none | music, travel, gadget | dumbra
Audio | Bluetooth Speaker | boombox, portable stereo | 90 | Aluminium, Plastic, Oak | Waterproof, Compact, Party, Retro | none | music, party, beach |
Computers | Laptop | notebook computer, ultrabook | 890 | Aluminium, Magnesium, Plastic | Lightweight, Gaming, Convertible, Business | screen | student, work, gadget | klapro
Computers | Tablet | e-reader, touchscreen slate | 380 | Aluminium, Plastic | Lightweight, Rugged, Junior, Stylus | screen | student, gadget, reader |
Desk Electronics | Keyboard | typing board, qwerty input device | 75 | Aluminium, Plastic, Bamboo | Mechanical, Wireless, Compact, Backlit | none | desk, gamer | tippon
Desk Electronics | Monitor | computer screen, external display | 260 | Aluminium, Plastic | Curved, Ultrawide, Gaming, Adjustable | screen | desk, gamer |
Phones | Smartphone | mobile, cell phone, handset | 520 | Glass, Aluminium, Titanium | Dual-SIM, Compact, Rugged, Large-Screen | storage | gadget |
Phones | Power Bank | battery pack, portable charger | 38 | Aluminium, Plastic | Fast-Charging, Slim, Solar, Magnetic | capacity | travel, camp |
Film and Photo | Camera | photography gear, digicam | 610 | Magnesium, Aluminium, Leather | Mirrorless, Compact, Instant, Waterproof | none | photo, travel, gadget | fokka
Film and Photo | Tripod | camera stand, photo mount | 65 | Carbon Fibre, Aluminium | Travel, Telescopic, Flexible, Heavy-Duty | height | photo |
Smart Wearables | Smartwatch | connected timepiece, wrist computer | 210 | Aluminium, Titanium, Silicone | GPS, Waterproof, Slim, Rugged | none | runner, fit, gadget | pulzi
Smart Wearables | Fitness Tracker | activity band, step counter | 65 | Silicone, Aluminium | Slim, Waterproof, Heart-Rate, Lightweight | none | runner, fit, healthy |
""",
    "Garden": """
Outdoor Furniture | Garden Bench | park seat, patio pew | 180 | Teak, Acacia, Steel | Two-Seater, Foldable, Rustic, Curved | width | garden, terrace |
Outdoor Furniture | Sun Lounger | deck chair, poolside recliner | 130 | Teak, Aluminium, Rattan | Foldable, Adjustable, Stackable, Padded | length | terrace, summer |
Grilling | Charcoal Barbecue | bbq, coal grill | 165 | Steel, Cast Iron | Kettle, Portable, Lidded, Wheeled | diameter | terrace, hosting, cook | glutto
Grilling | Fire Pit | campfire bowl, bonfire basket | 110 | Corten Steel, Steel, Cast Iron | Smokeless, Portable, Round, Rustic | diameter | terrace, cosy |
Planting | Flower Pot | planter, plant container | 32 | Terracotta, Ceramic, Concrete | Hanging, Self-Watering, Glazed, Tall | diameter | garden, terrace | pottel
Planting | Raised Bed | vegetable box, elevated plot | 90 | Larch, Corten Steel, Pine | Stackable, Deep, Narrow, Wheeled | width | garden |
Garden Tools | Pruning Shears | secateurs, branch clippers | 34 | Carbon Steel, Stainless Steel | Bypass, Ergonomic, Telescopic, Forged | length | garden | schnibbo
Garden Tools | Garden Hose | sprinkler pipe, irrigation tube | 39 | Rubber, Polyester | Expandable, Kink-Free, Drinking-Safe, Flexible | length | garden |
Power Tools | Cordless Drill | electric screwdriver, battery boring machine | 120 | Plastic, Magnesium | Brushless, Compact, Impact, Two-Speed | volt | handy | vrumbo
Power Tools | Jigsaw | curve cutter, woodcutting machine | 85 | Plastic, Aluminium | Brushless, Variable-Speed, Compact, Corded | volt | handy |
Hand Tools | Tool Box | mechanics kit, workshop chest | 60 | Steel, Plastic, Beech | Stackable, Wheeled, Lockable, Compact | none | handy |
Hand Tools | Screwdriver Set | phillips and torx bits, turnscrews | 36 | Chrome Vanadium Steel, Steel | Magnetic, Ratcheting, Insulated, Precision | pieces | handy |
""",
    "Kids and Pets": """
Toys | Building Blocks | construction bricks, stacking cubes | 36 | Beech, Maple, Plastic | Magnetic, Classic, Rainbow, Large | pieces | toddler, play | klotzi
Toys | Plush Toy | stuffed animal, cuddly teddy | 24 | Cotton, Polyester, Wool | Giant, Washable, Handmade, Musical | height | toddler, baby |
Games | Board Game | tabletop fun, dice and cards night | 34 | Cardboard, Beech | Cooperative, Strategy, Family, Travel | players | play, party |
Games | Jigsaw Puzzle | brain teaser, cut-up picture | 20 | Cardboard, Beech | Panoramic, Family, Vintage, Junior | pieces | play |
Nursery | Baby Cot | crib, infant bed | 210 | Beech, Pine, Oak | Convertible, Foldable, Rocking, Adjustable | none | baby |
Nursery | Baby Carrier | infant sling, kangaroo pouch | 95 | Cotton, Linen, Mesh | Ergonomic, Wrap, Breathable, Hip-Seat | none | baby | tragli
Kids Outdoors | Balance Bike | toddler cycle, push two-wheeler | 85 | Beech, Steel, Aluminium | Adjustable, Lightweight, Classic, Foldable | none | toddler, bike |
Kids Outdoors | Scooter | kick roller, push board | 72 | Aluminium, Steel | Foldable, Three-Wheel, Light-Up, Adjustable | none | toddler, play |
Dogs | Dog Bed | puppy basket, hound nest | 58 | Corduroy, Cotton, Fleece, Memory Foam | Orthopaedic, Washable, Round, Large | width | dog | wauzi
Dogs | Dog Leash | puppy lead, walking strap for hounds | 26 | Leather, Nylon, Rope | Retractable, Hands-Free, Reflective, Long | length | dog |
Cats | Cat Tree | scratching post, kitten climbing tower | 92 | Sisal, Plush, Pine | Tall, Wall-Mounted, Compact, Sturdy | height | cat |
Cats | Litter Box | kitty toilet | 48 | Plastic, Stainless Steel, Bamboo | Covered, Self-Cleaning, Large, Corner | none | cat |
""",
}


def _words(cell: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in cell.split(",") if word.strip())


def _parse() -> tuple[ProductType, ...]:
    types = []
    for department, table in _TABLES.items():
        for line in table.strip().splitlines():
            category, name, synonyms, price, materials, attributes, size, tags, slang = (
                cell.strip() for cell in line.split("|")
            )
            types.append(
                ProductType(
                    department=department,
                    category=category,
                    name=name,
                    synonyms=_words(synonyms),
                    price=float(price),
                    materials=_words(materials),
                    attributes=_words(attributes),
                    size=size,
                    tags=_words(tags),
                    slang=slang,
                )
            )
    return tuple(types)


PRODUCT_TYPES = _parse()
DEPARTMENTS = tuple(_TABLES)

COMPLEMENTS: dict[str, tuple[str, ...]] = {
    "Seating": ("Home Textiles", "Lamps", "Tables"),
    "Tables": ("Seating", "Tableware", "Lamps"),
    "Bedroom": ("Home Textiles", "Lamps", "Nightwear"),
    "Storage Furniture": ("Lamps", "Floors and Windows"),
    "Lamps": ("Seating", "Storage Furniture"),
    "Home Textiles": ("Seating", "Floors and Windows"),
    "Floors and Windows": ("Seating", "Home Textiles"),
    "Cookware": ("Knives and Cutlery", "Tableware"),
    "Knives and Cutlery": ("Cookware", "Tableware"),
    "Drinkware": ("Coffee and Tea", "Tableware"),
    "Tableware": ("Drinkware", "Knives and Cutlery"),
    "Coffee and Tea": ("Drinkware", "Kitchen Appliances"),
    "Kitchen Appliances": ("Cookware", "Drinkware"),
    "Tops": ("Trousers", "Knitwear"),
    "Knitwear": ("Trousers", "Outerwear"),
    "Trousers": ("Tops", "Leather Goods", "Shoes"),
    "Outerwear": ("Shoes", "Knitwear"),
    "Dresses": ("Jewellery and Watches", "Summer Shoes", "Bags"),
    "Nightwear": ("Home Textiles", "Bedroom"),
    "Shoes": ("Smart Wearables", "Hydration", "Trousers"),
    "Summer Shoes": ("Swimming", "Dresses"),
    "Bags": ("Leather Goods", "Luggage", "Computers"),
    "Luggage": ("Phones", "Leather Goods", "Bags"),
    "Leather Goods": ("Bags", "Jewellery and Watches"),
    "Jewellery and Watches": ("Dresses", "Leather Goods"),
    "Camping": ("Hiking", "Hydration"),
    "Hiking": ("Camping", "Outerwear", "Hydration"),
    "Gym": ("Hydration", "Smart Wearables"),
    "Cycling": ("Hydration", "Smart Wearables", "Bags"),
    "Swimming": ("Summer Shoes", "Hydration"),
    "Hydration": ("Gym", "Bags"),
    "Audio": ("Phones", "Smart Wearables"),
    "Computers": ("Desk Electronics", "Bags"),
    "Desk Electronics": ("Computers", "Audio"),
    "Phones": ("Audio", "Smart Wearables"),
    "Film and Photo": ("Bags", "Phones"),
    "Smart Wearables": ("Shoes", "Gym", "Audio"),
    "Outdoor Furniture": ("Grilling", "Planting", "Home Textiles"),
    "Grilling": ("Outdoor Furniture", "Knives and Cutlery"),
    "Planting": ("Garden Tools", "Outdoor Furniture"),
    "Garden Tools": ("Planting",),
    "Power Tools": ("Hand Tools",),
    "Hand Tools": ("Power Tools",),
    "Toys": ("Games", "Kids Outdoors"),
    "Games": ("Toys",),
    "Nursery": ("Toys",),
    "Kids Outdoors": ("Toys", "Cycling"),
    "Dogs": ("Hiking",),
    "Cats": ("Floors and Windows",),
}
