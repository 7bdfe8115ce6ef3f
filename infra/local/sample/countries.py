"""The sample countries: their share of the stores, their cities with zones and regions, and what their stores are called."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Country:
    """What the generator knows about a country."""

    share: int  # percent of all stores
    first_id: int
    default_timezone: str
    cities: tuple[tuple[str, int, str, str], ...]  # name, weight, zone, region
    teams: dict[str, str]  # region -> the team that looks after it; "" for the others
    signs: dict[str, tuple[str, ...]]  # kind of store -> what its sign says
    names: tuple[str, ...]


COUNTRIES: dict[str, Country] = {
    "es": Country(
        share=50,
        first_id=100_000,
        default_timezone="Europe/Madrid",
        cities=(
            ("Madrid", 330, "Europe/Madrid", "ES-MD"),
            ("Barcelona", 165, "Europe/Madrid", "ES-CT"),
            ("Valencia", 80, "Europe/Madrid", "ES-VC"),
            ("Sevilla", 68, "Europe/Madrid", "ES-AN"),
            ("Zaragoza", 67, "Europe/Madrid", "ES-AR"),
            ("Málaga", 58, "Europe/Madrid", "ES-AN"),
            ("Murcia", 46, "Europe/Madrid", "ES-MC"),
            ("Palma", 42, "Europe/Madrid", "ES-IB"),
            ("Bilbao", 35, "Europe/Madrid", "ES-PV"),
            ("Alicante", 34, "Europe/Madrid", "ES-VC"),
            ("Córdoba", 32, "Europe/Madrid", "ES-AN"),
            ("A Coruña", 25, "Europe/Madrid", "ES-GA"),
            ("Donostia / San Sebastián", 19, "Europe/Madrid", "ES-PV"),
            ("Ceuta", 8, "Africa/Ceuta", "ES-CE"),
            ("Las Palmas de Gran Canaria", 38, "Atlantic/Canary", "ES-CN"),
            ("Santa Cruz de Tenerife", 21, "Atlantic/Canary", "ES-CN"),
        ),
        teams={
            "": "Cuentas Norte",
            **dict.fromkeys(("ES-MD", "ES-AR"), "Cuentas Centro"),
            **dict.fromkeys(("ES-CT", "ES-VC", "ES-IB", "ES-MC"), "Cuentas Levante"),
            **dict.fromkeys(("ES-AN", "ES-CE", "ES-CN"), "Cuentas Sur e Islas"),
        },
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
            ("Ciudad de México", 300, "America/Mexico_City", "MX-CMX"),
            ("Guadalajara", 110, "America/Mexico_City", "MX-JAL"),
            ("Monterrey", 105, "America/Monterrey", "MX-NLE"),
            ("Puebla", 75, "America/Mexico_City", "MX-PUE"),
            ("León", 60, "America/Mexico_City", "MX-GUA"),
            ("Querétaro", 50, "America/Mexico_City", "MX-QUE"),
            ("Mérida", 45, "America/Merida", "MX-YUC"),
            ("Tijuana", 70, "America/Tijuana", "MX-BCN"),
            ("Mexicali", 25, "America/Tijuana", "MX-BCN"),
            ("Ciudad Juárez", 40, "America/Ciudad_Juarez", "MX-CHH"),
            ("Chihuahua", 35, "America/Chihuahua", "MX-CHH"),
            ("Hermosillo", 35, "America/Hermosillo", "MX-SON"),
            ("Culiacán", 28, "America/Mazatlan", "MX-SIN"),
            ("La Paz", 12, "America/Mazatlan", "MX-BCS"),
            ("Cancún", 40, "America/Cancun", "MX-ROO"),
            ("Reynosa", 18, "America/Matamoros", "MX-TAM"),
        ),
        teams={
            "": "Cuentas Centro",
            **dict.fromkeys(("MX-NLE", "MX-TAM", "MX-CHH"), "Cuentas Norte"),
            **dict.fromkeys(("MX-BCN", "MX-BCS", "MX-SON", "MX-SIN"), "Cuentas Noroeste"),
            **dict.fromkeys(("MX-YUC", "MX-ROO"), "Cuentas Sureste"),
        },
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
            ("Lisboa", 220, "Europe/Lisbon", "PT-11"),
            ("Porto", 130, "Europe/Lisbon", "PT-13"),
            ("Vila Nova de Gaia", 70, "Europe/Lisbon", "PT-13"),
            ("Braga", 65, "Europe/Lisbon", "PT-03"),
            ("Coimbra", 50, "Europe/Lisbon", "PT-06"),
            ("Setúbal", 40, "Europe/Lisbon", "PT-15"),
            ("Faro", 30, "Europe/Lisbon", "PT-08"),
            ("Évora", 18, "Europe/Lisbon", "PT-07"),
            ("Funchal", 40, "Atlantic/Madeira", "PT-30"),
            ("Ponta Delgada", 22, "Atlantic/Azores", "PT-20"),
            ("Angra do Heroísmo", 9, "Atlantic/Azores", "PT-20"),
        ),
        teams={
            "": "Contas Sul",
            **dict.fromkeys(("PT-13", "PT-03", "PT-06"), "Contas Norte"),
            **dict.fromkeys(("PT-20", "PT-30"), "Contas Ilhas"),
        },
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
