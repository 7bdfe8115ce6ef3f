"""The sample countries: their share of the stores, their cities and time zones, and their stores' names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Country:
    """What the generator knows about a country."""

    share: int  # percent of all stores
    first_id: int
    default_timezone: str
    cities: tuple[tuple[str, int, str], ...]  # name, weight, zone
    signs: dict[str, tuple[str, ...]]  # kind of store -> what its sign says
    names: tuple[str, ...]


COUNTRIES: dict[str, Country] = {
    "es": Country(
        share=50,
        first_id=100_000,
        default_timezone="Europe/Madrid",
        cities=(
            ("Madrid", 330, "Europe/Madrid"),
            ("Barcelona", 165, "Europe/Madrid"),
            ("Valencia", 80, "Europe/Madrid"),
            ("Sevilla", 68, "Europe/Madrid"),
            ("Zaragoza", 67, "Europe/Madrid"),
            ("Málaga", 58, "Europe/Madrid"),
            ("Murcia", 46, "Europe/Madrid"),
            ("Palma", 42, "Europe/Madrid"),
            ("Bilbao", 35, "Europe/Madrid"),
            ("Alicante", 34, "Europe/Madrid"),
            ("Córdoba", 32, "Europe/Madrid"),
            ("A Coruña", 25, "Europe/Madrid"),
            ("Donostia / San Sebastián", 19, "Europe/Madrid"),
            ("Ceuta", 8, "Africa/Ceuta"),
            ("Las Palmas de Gran Canaria", 38, "Atlantic/Canary"),
            ("Santa Cruz de Tenerife", 21, "Atlantic/Canary"),
        ),
        signs={
            "restaurant": ("Restaurante", "Mesón", "Asador", "Arrocería", "Taberna"),
            "bar": ("Bar", "Cervecería", "Coctelería", "Pub"),
            "all_day": ("Farmacia 24 h", "Tienda 24 h", "Gasolinera"),
            "shop": ("Frutería", "Panadería", "Supermercado", "Librería", "Floristería", "Farmacia"),
            "office": ("Mensajería", "Copistería", "Tintorería", "Óptica"),
            "fast_food": ("Pizzería", "Hamburguesería", "Kebab", "Pollos Asados"),
        },
        names=(
            "La Esquina",
            "El Rincón",
            "Casa Paco",
            "La Abuela",
            "Los Ángeles",
            "Santa Ana",
            "El Olivo",
            "La Plaza",
            "San Miguel",
            "Dos Hermanos",
            "El Faro",
            "Ñam",
            "La Tahona",
            "Sol y Sombra",
            "El Castillo",
            "Mar Azul",
            "La Farola",
            "El Patio",
            "Nuevo Mundo",
            "La Estación",
            "Begoña",
            "El Jardín",
            "La Paloma",
            "Tío Pepe",
        ),
    ),
    "mx": Country(
        share=35,
        first_id=7_000_000_000,  # beyond 32 bits
        default_timezone="America/Mexico_City",
        cities=(
            ("Ciudad de México", 300, "America/Mexico_City"),
            ("Guadalajara", 110, "America/Mexico_City"),
            ("Monterrey", 105, "America/Monterrey"),
            ("Puebla", 75, "America/Mexico_City"),
            ("León", 60, "America/Mexico_City"),
            ("Querétaro", 50, "America/Mexico_City"),
            ("Mérida", 45, "America/Merida"),
            ("Tijuana", 70, "America/Tijuana"),
            ("Mexicali", 25, "America/Tijuana"),
            ("Ciudad Juárez", 40, "America/Ciudad_Juarez"),
            ("Chihuahua", 35, "America/Chihuahua"),
            ("Hermosillo", 35, "America/Hermosillo"),
            ("Culiacán", 28, "America/Mazatlan"),
            ("La Paz", 12, "America/Mazatlan"),
            ("Cancún", 40, "America/Cancun"),
            ("Reynosa", 18, "America/Matamoros"),
        ),
        signs={
            "restaurant": ("Restaurante", "Fonda", "Marisquería", "Parrilla", "Cocina"),
            "bar": ("Cantina", "Bar", "Mezcalería", "Pulquería"),
            "all_day": ("Farmacia 24 h", "Tienda 24 h", "Gasolinera"),
            "shop": ("Abarrotes", "Panadería", "Tortillería", "Papelería", "Frutería", "Carnicería"),
            "office": ("Paquetería", "Tintorería", "Óptica", "Copias"),
            "fast_food": ("Taquería", "Tortas", "Pizzas", "Pollos", "Antojitos"),
        },
        names=(
            "El Güero",
            "La Güera",
            "Don Chucho",
            "Doña Lupe",
            "Los Compadres",
            "La Michoacana",
            "El Farolito",
            "Los Panchos",
            "San Juan",
            "El Califa",
            "La Guadalupana",
            "El Norteño",
            "Tía Licha",
            "El Jarocho",
            "La Esperanza",
            "Los Arcos",
            "El Huarache",
            "La Central",
            "Tres Hermanos",
            "El Ángel",
            "Xochitl",
        ),
    ),
    "pt": Country(
        share=15,
        first_id=40_000_000,
        default_timezone="Europe/Lisbon",
        cities=(
            ("Lisboa", 220, "Europe/Lisbon"),
            ("Porto", 130, "Europe/Lisbon"),
            ("Vila Nova de Gaia", 70, "Europe/Lisbon"),
            ("Braga", 65, "Europe/Lisbon"),
            ("Coimbra", 50, "Europe/Lisbon"),
            ("Setúbal", 40, "Europe/Lisbon"),
            ("Faro", 30, "Europe/Lisbon"),
            ("Évora", 18, "Europe/Lisbon"),
            ("Funchal", 40, "Atlantic/Madeira"),
            ("Ponta Delgada", 22, "Atlantic/Azores"),
            ("Angra do Heroísmo", 9, "Atlantic/Azores"),
        ),
        signs={
            "restaurant": ("Restaurante", "Tasca", "Marisqueira", "Churrasqueira", "Adega"),
            "bar": ("Bar", "Cervejaria", "Casa de Fado", "Ginjinha"),
            "all_day": ("Farmácia 24 h", "Loja 24 h", "Posto"),
            "shop": ("Padaria", "Frutaria", "Minimercado", "Livraria", "Florista", "Farmácia"),
            "office": ("Lavandaria", "Papelaria", "Ótica", "Encomendas"),
            "fast_food": ("Pizaria", "Hamburgueria", "Bifanas", "Frangos"),
        },
        names=(
            "O Cantinho",
            "A Ribeira",
            "São João",
            "Dois Irmãos",
            "O Farol",
            "A Brasileira",
            "Santo António",
            "O Pescador",
            "A Tia Alice",
            "Bela Vista",
            "O Moinho",
            "Flor da Sé",
            "A Praça",
            "O Fidalgo",
            "Açoriana",
            "Mar à Vista",
            "O Caçador",
            "Casa do Zé",
            "A Nova",
            "Sol Nascente",
        ),
    ),
}


def split(stores: int, countries: list[str]) -> dict[str, int]:
    """The number of stores of each country, by their shares. The last one gets what rounding leaves."""
    whole = sum(COUNTRIES[code].share for code in countries)
    counts = {code: stores * COUNTRIES[code].share // whole for code in countries}
    counts[countries[-1]] += stores - sum(counts.values())
    return counts
